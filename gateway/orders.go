package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence"
	"github.com/switchboard/switchboard/presence/accounts"
)

// postLogouts orders that people be signed out.
func (s *Server) postLogouts(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	raw, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	var in orderRequest
	if err := decodeJSON(raw, &in); err != nil {
		return err
	}
	spec, err := in.spec(1)
	if err == nil {
		err = spec.Validate()
	}
	if err != nil {
		return err
	}
	if spec.ID, err = s.orderID(r, claims.Org, raw); err != nil {
		return err
	}
	spec.By, spec.From = string(claims.Person()), s.from(r)
	org, err := s.accounts.Organization(r.Context(), claims.Org)
	if err != nil {
		return err
	}
	if !in.Confirm && !in.DryRun {
		if err := s.confirmed(r.Context(), org, claims.Operator, spec); err != nil {
			return err
		}
	}
	if _, err := s.signOut(r.Context(), claims.Org, spec, org.JobThreshold); err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/logouts/"+strconv.FormatInt(int64(spec.ID), 10))
	return s.writeOrder(w, r, claims.Org, spec.ID, http.StatusAccepted)
}

// from says a request's address and how it is known, for the audit.
func (s *Server) from(r *http.Request) string {
	addr, source := s.trust().Addr(r)
	if !addr.IsValid() {
		return source
	}
	return addr.String() + " (" + source + ")"
}

// orderID takes an id for a new order, or that of the request's Idempotency-Key.
func (s *Server) orderID(r *http.Request, org switchboard.OrgID, request []byte) (switchboard.OrderID, error) {
	id, err := s.accounts.NextOrder(r.Context())
	key := r.Header.Get("Idempotency-Key")
	if err != nil || key == "" {
		return id, err
	}
	if len(key) > 255 {
		return 0, switchboard.Invalid("Idempotency-Key", "at most 255 bytes")
	}
	return s.reg.Once(r.Context(), org, key, request, id)
}

// confirmed refuses an order of more people than the organization lets pass
// without a second look, or of who gives it (T6). It looks as the order would.
func (s *Server) confirmed(ctx context.Context, org accounts.Organization, self switchboard.OperatorID, spec presence.OrderSpec) error {
	if o, err := s.reg.Order(ctx, org.ID, spec.ID); err == nil && o.ID == spec.ID {
		return nil // a repeat by idempotency key: it was confirmed or was not too large
	}
	ops, err := s.reg.Operators(ctx, org.ID)
	if err != nil {
		return err
	}
	here := 0
	for _, op := range ops {
		if op.Status != switchboard.StatusOffline {
			here++
		}
	}
	meant, all, err := s.preview(ctx, org.ID, spec)
	if err != nil {
		return err
	}
	refuse := func(text string) error {
		return &switchboard.Error{Code: switchboard.CodeConflict, Field: "confirm", Message: text}
	}
	switch {
	case slices.Contains(meant, self):
		return refuse(fmt.Sprintf("this signs out %d people, you among them; confirm", len(meant)))
	case len(meant) > max(1, here*cmp.Or(org.ConfirmPercent, accounts.DefaultConfirmPercent)/100):
		return refuse(fmt.Sprintf("this signs out %d people; %d are here; confirm", len(meant), here))
	case !all:
		return refuse("not every node has said whom this means; confirm to go on without")
	}
	return nil
}

// preview returns whom an order would mean now, and whether every node has said so.
func (s *Server) preview(ctx context.Context, org switchboard.OrgID, spec presence.OrderSpec) (meant []switchboard.OperatorID, all bool, err error) {
	if spec.ID, err = s.accounts.NextOrder(ctx); err != nil {
		return nil, false, err
	}
	spec.Dry, spec.At, spec.Standing = true, 0, false
	if err := s.reg.NewOrder(ctx, org, spec); err != nil {
		return nil, false, err
	}
	for deadline := time.Now().Add(orderWithin); !all; {
		o, err := s.reg.Order(ctx, org, spec.ID)
		if err != nil {
			return nil, false, err
		}
		if all = o.Awaited == 0; all || time.Now().After(deadline) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if meant, err = s.reg.Meant(ctx, org, spec.ID); err != nil {
		return nil, false, err
	}
	if err = s.reg.CancelOrder(ctx, org, spec.ID, spec.By); switchboard.CodeOf(err) == switchboard.CodeConflict {
		err = nil // a node that found somebody has finished it
	}
	return meant, all, err
}

// orderIn returns the supervisor who asks and the order that the address names.
func (s *Server) orderIn(r *http.Request) (Claims, switchboard.OrderID, error) {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return claims, 0, err
	}
	id, err := strconv.ParseInt(chi.URLParam(r, "id"), 10, 64)
	if err != nil || id <= 0 {
		return claims, 0, switchboard.Invalid("id", "an order's id")
	}
	return claims, switchboard.OrderID(id), nil
}

func (s *Server) getLogout(w http.ResponseWriter, r *http.Request) error {
	claims, id, err := s.orderIn(r)
	if err != nil {
		return err
	}
	return s.writeOrder(w, r, claims.Org, id, http.StatusOK)
}

// deleteLogout cancels an order for everybody who is not out yet.
func (s *Server) deleteLogout(w http.ResponseWriter, r *http.Request) error {
	claims, id, err := s.orderIn(r)
	if err != nil {
		return err
	}
	by := string(claims.Person())
	if err := s.reg.CancelOrder(r.Context(), claims.Org, id, by); err != nil {
		return err
	}
	o, err := s.reg.Order(r.Context(), claims.Org, id)
	if err != nil {
		return err
	}
	s.mirror.ordered(claims.Org, o.OrderSpec, by)
	if err := s.reg.Safe(r.Context(), claims.Org); err != nil {
		return err
	}
	return s.writeOrder(w, r, claims.Org, id, http.StatusOK)
}

func (s *Server) getLogouts(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.supervisorOf(r)
	if err != nil {
		return err
	}
	before, err := number(r, "before", 0, 1<<53)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", 50, 200)
	if err != nil {
		return err
	}
	orders, err := s.reg.Orders(r.Context(), claims.Org, switchboard.OrderID(before), int(limit))
	if err != nil {
		return err
	}
	out := struct {
		Logouts []orderAnswer       `json:"logouts"`
		Next    switchboard.OrderID `json:"next,omitempty"` // more: ask with before=next
	}{Logouts: []orderAnswer{}}
	for _, o := range orders {
		out.Logouts = append(out.Logouts, orderOf(o))
	}
	if len(orders) == int(limit) {
		out.Next = orders[len(orders)-1].ID
	}
	s.writeJSON(w, http.StatusOK, out)
	return nil
}

// number reads a parameter of a request's address: 1 to most, or what stands for none.
func number(r *http.Request, name string, none, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return none, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, switchboard.Invalid(name, fmt.Sprintf("1 to %d", most))
	}
	return n, nil
}

// orderRows is how many operators one answer shows; the rest is asked for.
const orderRows = 1000

func (s *Server) writeOrder(w http.ResponseWriter, r *http.Request, org switchboard.OrgID, id switchboard.OrderID, status int) error {
	after, err := number(r, "after", 0, 1<<53)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", orderRows, orderRows)
	if err != nil {
		return err
	}
	o, err := s.reg.Order(r.Context(), org, id)
	if err != nil {
		return err
	}
	outcomes, err := s.reg.Outcomes(r.Context(), org, id)
	if err != nil {
		return err
	}
	a, rows := orderOf(o), []orderRow{}
	for _, row := range outcomes {
		if int64(row.Operator) <= after {
			continue
		}
		if len(rows) == int(limit) {
			a.Next = rows[len(rows)-1].ID
			break
		}
		rows = append(rows, orderRow{row.Operator, row.Name, row.Previous, row.Current, row.Outcome, strings.TrimSpace(row.Why), row.Chats, row.Calls, row.At})
	}
	a.Operators = &rows
	s.writeJSON(w, status, a)
	return nil
}
