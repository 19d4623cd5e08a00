package switchboard

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sent are the golden frames of a client; the others are the server's.
var sent = map[string]bool{"hello": true, "auth": true, "pong": true, "signout": true, "status": true, "chat.start": true, "offer.accept": true,
	"offer.decline": true, "chat.close": true, "call.start": true, "call.renew": true, "call.end": true, "watch": true, "idle": true, "resume": true,
	"chat.claim": true, "chat.here": true, "chat.transfer": true, "chat.invite": true, "chat.join": true, "chat.part": true, "note.send": true, "message.send": true, "typing.send": true, "viewing.send": true}

func TestGoldenFramesOfClientsAreUnderstoodWhole(t *testing.T) {
	files, err := filepath.Glob("testdata/frames/*.json")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d golden frames, %v", len(files), err)
	}
	clients := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if !sent[name] {
			continue
		}
		clients++
		lines, err := SplitFrame(raw)
		if err != nil || len(lines) != 1 {
			t.Errorf("%s: %d objects, %v", name, len(lines), err)
			continue
		}
		in, err := DecodeIn(lines[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// What is decoded and encoded again must say the same: no field is lost.
		again, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var a, b map[string]any
		if json.Unmarshal(raw, &a) != nil || json.Unmarshal(again, &b) != nil {
			t.Fatalf("%s is not an object", name)
		}
		for field := range a {
			if _, ok := b[field]; !ok {
				t.Errorf("%s: field %q is not read", name, field)
			}
		}
	}
	if clients != len(sent) {
		t.Errorf("%d golden frames of clients, want %d", clients, len(sent))
	}
}

func TestGoldenFramesOfTheServerHaveTheTypesOfGo(t *testing.T) {
	for name, v := range map[string]any{"message": &Message{}, "chat": &Chat{}, "offer": &Offer{}, "note": &Note{}, "presence": &Presence{}, "lost": &Lost{}} {
		raw, err := os.ReadFile("testdata/frames/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadFramesNameTheFieldAtFault(t *testing.T) {
	for _, tc := range []struct {
		name, line, field string
		code              Code
	}{
		{"no object", `[1]`, "frame", CodeInvalid},
		{"not JSON", `{"t":`, "frame", CodeInvalid},
		{"no kind", `{}`, "t", CodeInvalid},
		{"kind of a wrong type", `{"t":7}`, "t", CodeInvalid},
		{"chat of a wrong type", `{"t":"message","chat":"7"}`, "chat", CodeInvalid},
		{"nested wrong type", `{"t":"hello","chats":[{"chat":"x"}]}`, "chats.chat", CodeInvalid},
		{"long re", `{"t":"ok","re":"` + strings.Repeat("x", 65) + `"}`, "re", CodeInvalid},
		{"long cmid", `{"t":"ok","cmid":"` + strings.Repeat("x", 65) + `"}`, "cmid", CodeInvalid},
		{"long text", `{"t":"message","text":"` + strings.Repeat("x", MaxText+1) + `"}`, "text", CodeTooLarge},
	} {
		_, err := DecodeIn([]byte(tc.line))
		var e *Error
		if !errors.As(err, &e) || e.Code != tc.code || e.Field != tc.field {
			t.Errorf("%s: %v, want %s of %s", tc.name, err, tc.code, tc.field)
		}
	}
	if _, err := SplitFrame([]byte(strings.Repeat("{}\n", MaxObjects+1))); CodeOf(err) != CodeTooLarge {
		t.Errorf("too many objects: %v", err)
	}
	if _, err := SplitFrame([]byte("{\"t\":\"\xff\"}")); CodeOf(err) != CodeInvalid {
		t.Errorf("bad UTF-8: %v", err)
	}
}

func FuzzFrame(f *testing.F) {
	files, err := filepath.Glob("testdata/frames/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		lines, err := SplitFrame(frame)
		if err != nil {
			return
		}
		if len(lines) > MaxObjects {
			t.Fatalf("%d objects", len(lines))
		}
		for _, line := range lines {
			in, err := DecodeIn(line)
			if err == nil && (in.T == "" || len(in.Text) > MaxText || len(in.Re) > 64 || len(in.Cmid) > 64) {
				t.Fatalf("accepted %+v", in)
			}
		}
	})
}
