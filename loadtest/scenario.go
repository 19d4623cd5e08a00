package loadtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/switchboard/switchboard"
)

// Scenario is what the crowd does. Default and Small give the standing ones.
type Scenario struct {
	Seed      uint64
	Operators int // at least 1
	Visitors  int // at least 1, each with one chat
	Limit     int // chats that each operator may hold; the nodes must be set to the same

	Arrivals         time.Duration // over which visitors ask for their chats
	Calm             float64       // share of Arrivals in which only CalmVisitors ask: operators stay free
	CalmVisitors     float64       // share of the visitors; the rest come in a rush and some wait
	ChatMin, ChatMax time.Duration
	MessagesMin      int // of one chat, both sides together, the first included; at least 2
	MessagesMax      int

	Declines    float64 // share of offers that an operator declines
	Watchers    float64 // share of operators who watch the whole board
	ConnectRate int     // people who connect in a second

	RestartAt   time.Duration // after the first chat; 0: no restart
	RestartNode int           // index into Targets.Nodes
	FaultAt     time.Duration // after the first chat; 0: no fault
	Patience    time.Duration // after Arrivals, for all chats to end
	Idle        time.Duration // rest of the connected crowd before memory is measured
	Settle      time.Duration // at most, for the last acks and deliveries

	Bounds Bounds
}

// Bounds are what a run must keep; a broken one is named in the report.
type Bounds struct {
	Lost, Repeated, OutOfOrder int
	// Rollback: the fault makes the store lose what it acknowledged. Lost messages,
	// sequences that were given twice, and chats that wait for a lost message are
	// then counted and not judged.
	Rollback   bool
	Around     time.Duration // after a restart is asked for, in which the next two do not hold
	MessageP99 time.Duration // outside the time around the restart
	RoutingP99 time.Duration // while operators are free, outside that time
	CrossNode  float64       // share of chats whose two sides are on different nodes
	Recovery   time.Duration // from the restart until all its people are back
}

// Node is one gateway.
type Node struct {
	URL    string // http://host:port
	Weight int    // share of the people; 0 counts as 1
}

// Targets are the nodes and what the crowd may ask of whoever runs them. The
// functions may be nil; what they would measure is then left out.
type Targets struct {
	Nodes           []Node
	Org             switchboard.OrgID
	Team            switchboard.TeamID
	Login, Password string // of the company, for POST /api/company/get-token
	HTTP            *http.Client

	// Restart stops the node, gently or not, and starts it again at the same
	// address; it returns when the node answers.
	Restart func(ctx context.Context, node int) error
	// Fault does something to the nodes or their store at Scenario.FaultAt, and
	// puts it right; latency around it is kept apart, as around a restart.
	Fault func(ctx context.Context) error
	// Resident is the memory of a node's process, in bytes.
	Resident func(node int) (int64, error)
	// Commands is how many commands Redis has done.
	Commands func(ctx context.Context) (int64, error)
	// Progress, when not nil, is told in one line what begins now.
	Progress func(line string)
}

// DefaultBounds are those of the standing scenario.
func DefaultBounds() Bounds {
	return Bounds{
		Around:     10 * time.Second,
		MessageP99: 250 * time.Millisecond,
		RoutingP99: time.Second,
		CrossNode:  0.3,
		Recovery:   20 * time.Second,
	}
}

// Default is the standing scenario: 200 operators and 2,000 visitors in about
// 90 s. 1,000 slots meet a rush of 1,500 chats, so that people wait; before and
// after it operators are free.
func Default() Scenario {
	return Scenario{
		Seed: 1, Operators: 200, Visitors: 2000, Limit: 5,
		Arrivals: 40 * time.Second, Calm: 0.4, CalmVisitors: 0.25,
		ChatMin: 20 * time.Second, ChatMax: 30 * time.Second, MessagesMin: 6, MessagesMax: 10,
		Declines: 0.02, Watchers: 0.1, ConnectRate: 400,
		RestartAt: 35 * time.Second, RestartNode: 1, Patience: 90 * time.Second,
		Idle: 2 * time.Second, Settle: 10 * time.Second,
		Bounds: DefaultBounds(),
	}
}

// Small is a tenth of Default in about 25 s, for a test.
func Small() Scenario {
	s := Default()
	s.Operators, s.Visitors = 20, 200
	s.Arrivals, s.RestartAt, s.Patience = 10*time.Second, 8*time.Second, 40*time.Second
	s.ChatMin, s.ChatMax = 4*time.Second, 7*time.Second
	return s
}

// Stretch changes how long visitors keep coming and moves the restart with it;
// the chats stay as long as they are.
func (s *Scenario) Stretch(arrivals time.Duration) {
	if s.Arrivals > 0 {
		s.RestartAt = time.Duration(float64(s.RestartAt) * float64(arrivals) / float64(s.Arrivals))
	}
	s.Arrivals = arrivals
}

// check reports everything that cannot be run, at once.
func (s *Scenario) check(t *Targets) error {
	var bad []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	need(len(t.Nodes) > 0, "targets: no nodes")
	need(s.Operators > 0 && s.Visitors > 0, "at least one operator and one visitor")
	need(s.Limit > 0, "limit must be above 0")
	need(s.Arrivals > 0 && s.Patience > 0, "arrivals and patience must be above 0")
	need(s.ChatMin > 0 && s.ChatMax >= s.ChatMin, "chats must last above 0, the longest at least as long as the shortest")
	need(s.MessagesMin >= 2 && s.MessagesMax >= s.MessagesMin && s.MessagesMax <= maxPlanned,
		"messages of a chat must be 2 to %d", maxPlanned)
	for _, share := range []float64{s.Calm, s.CalmVisitors, s.Declines, s.Watchers, s.Bounds.CrossNode} {
		need(share >= 0 && share <= 1, "a share must be 0 to 1, not %v", share)
	}
	need(s.ConnectRate > 0, "connect rate must be above 0")
	need(s.RestartAt == 0 || s.RestartNode >= 0 && s.RestartNode < len(t.Nodes), "there is no node %d to restart", s.RestartNode)
	need(s.RestartAt == 0 || t.Restart != nil, "these targets cannot be restarted")
	need(s.FaultAt == 0 || t.Fault != nil && s.RestartAt == 0, "a fault needs targets that know one, and no restart beside it")
	for i, n := range t.Nodes {
		need(n.Weight >= 0, "node %d: weight below 0", i)
	}
	return errors.Join(bad...)
}

// arrival says when visitor i of s.Visitors asks, as a share of the whole: the
// first ones spread over the calm, the others over the rush.
func (s *Scenario) arrival(i int, draw float64) time.Duration {
	calm := time.Duration(float64(s.Arrivals) * s.Calm)
	if float64(i) < s.CalmVisitors*float64(s.Visitors) {
		return time.Duration(draw * float64(calm))
	}
	return calm + time.Duration(draw*float64(s.Arrivals-calm))
}
