package routing

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/switchboard/switchboard"
)

// Restore asserts a chat by its record, as nudges and snapshots carry it, after
// its partition's server has changed (presence/rollback.go). It returns what was
// done: kept, active, waiting, closed, superseded or taken. It may be repeated.
func (r *Router) Restore(ctx context.Context, org switchboard.OrgID, record string) (string, error) {
	var c struct {
		ID switchboard.ChatID `json:"id"`
	}
	if err := json.Unmarshal([]byte(record), &c); err != nil || c.ID <= 0 {
		return "", fmt.Errorf("chat record: %w", err)
	}
	k := keysOf(r.reg.Partition(org), org, c.ID)
	reply, err := r.call(ctx, org, scriptRestore, []string{k.log, k.cmid, k.typing, k.viewing, k.closed},
		record, r.cfg.Retention.Milliseconds())
	return reply.Text(0), err
}
