package presence

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/switchboard/switchboard"
)

// vectors say where things are stored. Whoever changes the hash, the tags or the
// number of partitions moves every organization away from its keys; this file is
// to be changed together with a migration only.
type vectors struct {
	Tags       []string   `json:"tags"`  // of partition 0, 1, 2 ...
	Slots      []int      `json:"slots"` // Redis Cluster slot of each tag
	Partitions []struct { // where organizations live
		Org       switchboard.OrgID `json:"org"`
		Partition int               `json:"partition"`
	} `json:"partitions"`
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/partitions.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPartitionsStayWhereTheyAre(t *testing.T) {
	v := readVectors(t)
	if got := tags(Partitions); !slices.Equal(got, v.Tags) || len(got) != 32 {
		t.Errorf("tags are %q, were %q", got, v.Tags)
	}
	if len(v.Partitions) < 20 {
		t.Errorf("%d organizations in the vectors", len(v.Partitions))
	}
	for _, p := range v.Partitions {
		if got := partitionOf(p.Org, Partitions); got != p.Partition {
			t.Errorf("organization %d is looked for in partition %d, its keys are in %d", p.Org, got, p.Partition)
		}
	}
}

// A real server in cluster mode says in which slots the tags are; they must be
// the middles of P equal parts, so that a cluster of any size up to P is level.
func TestPartitionTagsAreEvenlySpacedByTheServersOwnHash(t *testing.T) {
	rdb := clusterServer(t)
	v := readVectors(t)
	for i, tag := range v.Tags {
		p := Partition{Index: i, Tag: tag}
		for _, key := range []string{p.key("due"), p.Inbox("1"), p.Key(7, "op"), p.Key(7, "order:3:todo")} {
			n, err := rdb.ClusterKeySlot(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			if want := (2*i + 1) * 16384 / 64; int(n) != want || v.Slots[i] != want || int(slot(tag)) != want {
				t.Errorf("%s is in slot %d by the server, %d by us, %d in the vectors; want %d", key, n, slot(tag), v.Slots[i], want)
			}
		}
	}
	for masters := 1; masters <= Partitions; masters++ {
		load := map[int]int{}
		for _, at := range v.Slots {
			load[at*masters/16384]++
		}
		most, least := slices.Max(slices.Collect(maps.Values(load))), slices.Min(slices.Collect(maps.Values(load)))
		if len(load) != masters || most-least > 1 {
			t.Errorf("%d masters hold %v", masters, load)
		}
	}
}

// clusterServer is a redis-server that knows slots; it has no data and no port.
func clusterServer(t *testing.T) *redis.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "sb-") // short: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--cluster-enabled", "yes", "--dir", dir, "--save", "", "--logfile", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Protocol: 2, MaxRetries: -1})
	t.Cleanup(func() {
		rdb.Close()
		_ = cmd.Process.Kill() // it may have ended by itself; Wait tells nothing new
		_ = cmd.Wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	wait(t, "a server in cluster mode", func() bool { return rdb.Ping(t.Context()).Err() == nil })
	return rdb
}

// Organizations spread over the partitions: no partition has more than twice its
// share of 3,200.
func TestPartitionsAreUsedEvenly(t *testing.T) {
	n := make([]int, Partitions)
	for org := range switchboard.OrgID(3200) {
		n[partitionOf(org+1, Partitions)]++
	}
	for i, got := range n {
		if got < 50 || got > 200 {
			t.Errorf("partition %d has %d of 3200", i, got)
		}
	}
}

// All nodes must name the same keeper, whatever the order in which they know
// each other, and a death must move only the dead one's chores.
func TestKeeperIsOneAndMovesOnlyWithADeath(t *testing.T) {
	alive := []string{"1", "2", "3", "17"}
	mirrored := slices.Clone(alive)
	slices.Reverse(mirrored)
	chores := map[string]int{}
	for _, tag := range tags(Partitions) {
		k := keeper(tag, alive)
		chores[k]++
		if other := keeper(tag, mirrored); other != k {
			t.Errorf("partition %s is kept by %s and by %s", tag, k, other)
		}
		if k != "3" && keeper(tag, []string{"1", "2", "17"}) != k {
			t.Errorf("partition %s left %s though another node died", tag, k)
		}
	}
	if len(chores) != len(alive) {
		t.Errorf("chores are %v", chores)
	}
	if keeper("a", nil) != "" {
		t.Error("nobody alive, and a keeper")
	}
}
