package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchboard/switchboard"
)

const (
	// signers sign people in at the same time.
	signers = 8
	// postTries bounds how often a request is repeated that was told to wait.
	postTries = 40
	// tokenLife is how long an operator's token is asked for; the contract
	// allows 24 h.
	tokenLife = 2 * time.Hour
	maxAnswer = 8 << 20
)

// api speaks the documented HTTP of the nodes.
type api struct {
	base []string
	http *http.Client
	turn atomic.Uint64
}

// ask sends one request, to the nodes in turn, and decodes the answer into out.
// A node that says "too fast" or "unavailable" is asked again after the time it
// names.
func (a *api) ask(ctx context.Context, method, path, token string, body, out any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	var last error
	for range postTries {
		wait, err := a.once(ctx, method, path, token, encoded, out)
		if err == nil || wait == 0 {
			return err
		}
		last = err
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
	return last
}

// once makes one attempt; a wait above 0 says that trying again makes sense.
func (a *api) once(ctx context.Context, method, path, token string, body []byte, out any) (time.Duration, error) {
	base := a.base[a.turn.Add(1)%uint64(len(a.base))]
	rq, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	rq.Header.Set("Content-Type", "application/json")
	if token != "" {
		rq.Header.Set("Authorization", "Bearer "+token)
	}
	rs, err := a.http.Do(rq)
	if err != nil {
		return time.Second, err
	}
	defer rs.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(rs.Body, maxAnswer))
	if err != nil {
		return time.Second, err
	}
	switch {
	case rs.StatusCode == http.StatusOK || rs.StatusCode == http.StatusCreated:
		if err := json.Unmarshal(answer, out); err != nil {
			return 0, fmt.Errorf("%s %s: %w", method, path, err)
		}
		return 0, nil
	case rs.StatusCode == http.StatusTooManyRequests || rs.StatusCode == http.StatusServiceUnavailable:
		wait := time.Second
		if n, err := strconv.Atoi(rs.Header.Get("Retry-After")); err == nil && n > 0 && n < 30 {
			wait = time.Duration(n) * time.Second
		}
		return wait, fmt.Errorf("%s %s: %s", method, path, rs.Status)
	}
	return 0, fmt.Errorf("%s %s: %s: %s", method, path, rs.Status, clip(answer))
}

func clip(b []byte) string {
	s := strings.ToValidUTF8(string(b), "?")
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return s
}

// company signs the company in.
func (a *api) company(ctx context.Context, login, password string) (string, error) {
	var token string
	err := a.ask(ctx, http.MethodPost, "/api/company/get-token", "",
		map[string]string{"login": login, "password": password}, &token)
	return token, err
}

// operators lists the active operators of an organization, by id.
func (a *api) operators(ctx context.Context, company string, org switchboard.OrgID) ([]switchboard.OperatorID, error) {
	var list []struct {
		ID     switchboard.OperatorID `json:"id"`
		Status switchboard.Account    `json:"status"`
	}
	path := "/api/operator?organizationId=" + strconv.FormatInt(int64(org), 10)
	if err := a.ask(ctx, http.MethodGet, path, company, nil, &list); err != nil {
		return nil, err
	}
	var ids []switchboard.OperatorID
	for _, o := range list {
		if o.Status == switchboard.AccountActive {
			ids = append(ids, o.ID)
		}
	}
	return ids, nil
}

// operator gets an operator's token.
func (a *api) operator(ctx context.Context, company string, id switchboard.OperatorID) (string, error) {
	var token string
	err := a.ask(ctx, http.MethodPost, "/api/operator/get-token", company,
		map[string]any{"id": id, "expiresAt": time.Now().Add(tokenLife).UTC().Format(time.RFC3339)}, &token)
	return token, err
}

// visitor begins a visitor's session and returns its token.
func (a *api) visitor(ctx context.Context, org switchboard.OrgID, name string) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	err := a.ask(ctx, http.MethodPost, "/v1/visitor", "", map[string]any{"org": org, "name": name}, &answer)
	return answer.Token, err
}

// forEach calls do for 0 to n-1, a few at a time, and stops at the first error.
func forEach(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var crew sync.WaitGroup
	for range min(signers, n) {
		crew.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	crew.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}
