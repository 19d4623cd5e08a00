package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchboard/switchboard"
	"github.com/switchboard/switchboard/presence/accounts"
	"github.com/switchboard/switchboard/routing"
)

const (
	// webhookWorkers ask at a time, and webhookQueue wait; one more is answered with
	// nothing at once, so that the team's fallback decides.
	webhookWorkers = 32
	webhookQueue   = 256
	// maxWebhookAnswer is the largest answer that is read, in bytes.
	maxWebhookAnswer = 64 << 10
)

// webhooks ask the addresses of teams with strategy "webhook" who should get a
// chat. The store decides: an answer is a preference that the claim checks, it
// counts until the question's deadline in the store, and whoever is asked and
// never answers costs the chat that time and no more.
type webhooks struct {
	accounts *accounts.Store
	router   *routing.Router
	resolver *net.Resolver
	log      *slog.Logger
	queue    chan webhookCall
	outcomes *prometheus.CounterVec
	seconds  prometheus.Histogram
}

type webhookCall struct {
	org   switchboard.OrgID
	ask   routing.Ask
	until time.Time
}

func newWebhooks(store *accounts.Store, resolver *net.Resolver, reg prometheus.Registerer, log *slog.Logger) *webhooks {
	h := &webhooks{accounts: store, resolver: resolver, log: log, queue: make(chan webhookCall, webhookQueue),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchboard_gateway_webhooks_total",
			Help: "Webhooks asked, by how it went."}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "switchboard_gateway_webhook_seconds",
			Help: "From a webhook's question to its answer or failure.", Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2, 5}})}
	for _, outcome := range []string{"answered", "failed", "late", "dropped"} {
		h.outcomes.WithLabelValues(outcome)
	}
	reg.MustRegister(h.outcomes, h.seconds)
	return h
}

// add takes a question and never waits.
func (h *webhooks) add(org switchboard.OrgID, ask routing.Ask) {
	one := webhookCall{org, ask, time.Now().Add(time.Duration(ask.Left) * time.Millisecond)}
	select {
	case h.queue <- one:
	default:
		h.outcomes.WithLabelValues("dropped").Inc() // the question's deadline lets the fallback decide
	}
}

func (h *webhooks) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range webhookWorkers {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case one := <-h.queue:
					h.carry(ctx, one)
				}
			}
		})
	}
	wg.Wait()
}

// carry asks one question and tells the store what came of it.
func (h *webhooks) carry(ctx context.Context, one webhookCall) {
	began := time.Now()
	asking, cancel := context.WithDeadline(ctx, one.until)
	operators, err := h.question(asking, one)
	cancel()
	h.seconds.Observe(time.Since(began).Seconds())
	outcome := "answered"
	if err != nil {
		outcome = "failed"
		h.log.Warn("a webhook did not say who gets a chat; the fallback decides", "org", one.org, "team", one.ask.Team, "chat", one.ask.Chat, "err", err)
	}
	call, cancel := callContext()
	defer cancel()
	counted, err := h.router.Advise(call, one.org, one.ask, operators)
	if err != nil {
		h.log.Warn("what a webhook said could not be stored; the fallback decides", "org", one.org, "chat", one.ask.Chat, "err", err)
	} else if !counted {
		outcome = "late"
	}
	h.outcomes.WithLabelValues(outcome).Inc()
}

// question is one signed request; the answer {"operators":[41,42]} names who
// should get the chat, best first. The signature is that of Standard Webhooks:
// base64 HMAC-SHA256 over id.timestamp.body under the organization's secret.
func (h *webhooks) question(ctx context.Context, one webhookCall) ([]switchboard.OperatorID, error) {
	org, err := h.accounts.Organization(ctx, one.org)
	if err != nil {
		return nil, err
	}
	var allow []netip.Prefix
	for _, network := range org.WebhookAllow {
		if p, err := netip.ParsePrefix(network); err == nil { // they were checked when they were set
			allow = append(allow, p)
		}
	}
	secret, err := h.accounts.WebhookSecret(one.org, org.WebhookKey)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(one.ask)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, one.ask.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the address is not valid")
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Switchboard")
	req.Header.Set("Webhook-Id", one.ask.ID)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", "v1,"+webhookSignature(secret, one.ask.ID, at, body))
	client := egress(allow, h.resolver)
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %d", res.StatusCode)
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxWebhookAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxWebhookAnswer {
		return nil, errors.New("its answer is larger than 64 KiB")
	}
	var answer struct {
		Operators []switchboard.OperatorID `json:"operators"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, errors.New("its answer is not {\"operators\":[...]}") // its text stays out of the log
	}
	return answer.Operators[:min(len(answer.Operators), routing.MaxAdvice)], nil
}

// webhookSignature signs a request so that its receiver knows it for ours; id and
// time let them refuse a repeat.
func webhookSignature(secret []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, at)
	mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// getWebhookSecret shows an admin the secret that signs the organization's
// webhooks, in the form of Standard Webhooks. A new one is made by changing the
// setting webhook_key.
func (s *Server) getWebhookSecret(w http.ResponseWriter, r *http.Request) error {
	claims, err := s.adminOf(r)
	if err != nil {
		return err
	}
	s.accounts.Forget(claims.Org)
	org, err := s.accounts.Organization(r.Context(), claims.Org)
	if err != nil {
		return err
	}
	secret, err := s.accounts.WebhookSecret(org.ID, org.WebhookKey)
	if err != nil {
		return err
	}
	s.writeJSON(w, http.StatusOK, struct {
		Key    int64  `json:"webhook_key"`
		Secret string `json:"secret"`
	}{org.WebhookKey, "whsec_" + base64.StdEncoding.EncodeToString(secret)})
	return nil
}
