package redistest_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard/presence/redisd/redistest"
)

var opts *redis.Options

func TestMain(m *testing.M) { redistest.Main(m, &opts) }

func TestMainGivesAServerToTheTests(t *testing.T) {
	if err := redistest.Client(t, opts).Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestStartGivesAServerOfItsOwn(t *testing.T) {
	shared := redistest.Client(t, opts)
	own := redistest.Client(t, redistest.Start(t, true).Options())
	if err := own.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := shared.Exists(t.Context(), "k").Result(); n != 0 || err != nil {
		t.Errorf("the servers share their data: %d %v", n, err)
	}
}
