package loadtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/switchboard/switchboard"
)

// Ready is the server's answer to hello.
type Ready struct {
	Person    switchboard.PersonID      `json:"person"`
	Role      switchboard.Role          `json:"role"`
	Org       switchboard.OrgID         `json:"org"`
	Node      string                    `json:"node"`
	PingMS    int64                     `json:"ping_ms"`
	TimeoutMS int64                     `json:"timeout_ms"`
	Statuses  []string                  `json:"statuses"`
	Self      *switchboard.OperatorView `json:"self"`
	Chats     []switchboard.Chat        `json:"chats"`
	Offers    []switchboard.Offer       `json:"offers"`
}

// Ack says that a message is stored.
type Ack struct {
	Re   string               `json:"re"`
	Chat switchboard.ChatID   `json:"chat"`
	Cmid string               `json:"cmid"`
	Pos  switchboard.Position `json:"pos"`
	Seq  int64                `json:"seq"`
	At   int64                `json:"at"`
}

// Refusal is an error object: the request named by Re or Cmid changed nothing.
type Refusal struct {
	Re      string             `json:"re"`
	Code    switchboard.Code   `json:"code"`
	Message string             `json:"message"`
	Field   string             `json:"field"`
	RetryMS int64              `json:"retry_ms"`
	Cmid    string             `json:"cmid"`
	Chat    switchboard.ChatID `json:"chat"`
}

// Resumed carries what a reader missed of one chat.
type Resumed struct {
	Chat     switchboard.ChatID    `json:"chat"`
	OK       bool                  `json:"ok"`
	Messages []switchboard.Message `json:"messages"`
	Pos      switchboard.Position  `json:"pos"`
	State    string                `json:"state"`
}

// OfferGone says that an offer ended; Reason is one of the root's Offer words.
type OfferGone struct {
	Chat   switchboard.ChatID `json:"chat"`
	Reason string             `json:"reason"`
}

// chatFrame is a chat object as an answer: the same object with its request id.
type chatFrame struct {
	switchboard.Chat
	Re string `json:"re"`
}

// kindOf reads the "t" of an object without decoding the rest: presence
// objects are large and most people do not look at them.
func kindOf(line []byte) (switchboard.Kind, error) {
	if rest, ok := bytes.CutPrefix(line, []byte(`{"t":"`)); ok {
		if kind, _, ok := bytes.Cut(rest, []byte{'"'}); ok && !bytes.ContainsRune(kind, '\\') {
			return switchboard.Kind(kind), nil
		}
	}
	var head struct {
		T switchboard.Kind `json:"t"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return "", fmt.Errorf("object from the server: %w", err)
	}
	return head.T, nil
}

// splitServer returns the objects of a server frame. A server frame has no
// limit on objects, so SplitFrame, which guards the server, does not fit.
func splitServer(frame []byte) [][]byte {
	var out [][]byte
	for line := range bytes.SplitSeq(frame, []byte{'\n'}) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out = append(out, line)
		}
	}
	return out
}

// seqOf reads the sequence of a position; 0 for "" and for text that is none.
func seqOf(pos switchboard.Position) int64 {
	head, _, _ := strings.Cut(pos, "-")
	seq, err := strconv.ParseInt(head, 10, 64)
	if err != nil || seq < 0 {
		return 0
	}
	return seq
}
