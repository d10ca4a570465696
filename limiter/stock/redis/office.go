package redis

// Operators' work. What it changes is acknowledged by replicas, as starts are: a ledger
// that a failover paused anew, or loaded less, would sell what it should not.

import (
	"context"
	"fmt"
	"strconv"

	"penstock/limiter/stock"
)

// Load refuses a Redis that is not Ready.
func (s *Store) Load(ctx context.Context, l stock.Loading) (p stock.Picture, fresh bool, err error) {
	if err := l.Check(); err != nil {
		return p, false, err
	}
	if err := s.Ready(ctx); err != nil {
		return p, false, err
	}
	args := make([]any, 0, 2+2*len(l.Items))
	args = append(args, flag(l.Frozen), termsText(l.Terms))
	for item, units := range l.Items {
		args = append(args, item, units)
	}
	reply, err := s.call(ctx, loadScript, l.Ledger, s.replicas, args...)
	r := list(reply)
	if err == nil && len(r) != 2 {
		err = errReply
	}
	if err != nil {
		return p, false, fmt.Errorf("load ledger %q: %w", l.Ledger, err)
	}
	now, _ := r[0].(int64)
	return picture(pairs(list(r[1]))), now == 1, nil
}

func (s *Store) SetTerms(ctx context.Context, ledger string, t stock.Terms) error {
	_, err := s.word(ctx, setScript, ledger, "terms", termsText(t))
	return about("set terms of", ledger, err)
}

func (s *Store) SetState(ctx context.Context, ledger string, to stock.State) error {
	_, err := s.word(ctx, setScript, ledger, "state", string(rune(to)))
	return about("set state of", ledger, err)
}

func (s *Store) Adjust(ctx context.Context, a stock.Adjustment) (stock.Counts, error) {
	if a.Add < 0 || a.Remove < 0 || (a.Add > 0) == (a.Remove > 0) {
		return stock.Counts{}, fmt.Errorf("adjust ledger %q by %d and -%d units: want one of them", a.Ledger, a.Add, a.Remove)
	}
	said, err := s.word(ctx, adjustScript, a.Ledger, text(a.Token), a.Item, a.Add, a.Remove)
	switch said {
	case "too_few":
		err = stock.ErrTooFew
	case "order":
		err = fmt.Errorf("token %s is an order's", text(a.Token))
	}
	if err != nil {
		return stock.Counts{}, about("adjust", a.Ledger, err)
	}
	return counts(said), nil
}

func (s *Store) Archive(ctx context.Context, ledger string) error {
	said, err := s.word(ctx, archiveScript, ledger)
	if said == "open" {
		err = stock.ErrOpenTokens
	}
	return about("archive", ledger, err)
}

func (s *Store) Freeze(ctx context.Context, ledger string) (uint64, error) {
	said, err := s.word(ctx, freezeScript, ledger, "freeze")
	freeze, _ := strconv.ParseUint(said, 10, 64)
	return freeze, about("freeze", ledger, err)
}

func (s *Store) Thaw(ctx context.Context, ledger string) error {
	_, err := s.word(ctx, freezeScript, ledger, "thaw")
	return about("thaw", ledger, err)
}

func (s *Store) Reassert(ctx context.Context, a stock.Assertion) (thawed bool, err error) {
	args := make([]any, 0, 5+2*len(a.Entries))
	args = append(args, a.Gateway, strconv.FormatUint(a.Freeze, 10), flag(a.Last),
		stock.ThawAfter.Milliseconds(), stock.AliveFor.Milliseconds())
	for i := range a.Entries {
		args = append(args, text(a.Entries[i].Token), record(&a.Entries[i]))
	}
	said, err := s.word(ctx, reassertScript, a.Ledger, args...)
	for _, l := range []*lane{s.way(a.Ledger).all, s.way(a.Ledger).starts} {
		l.anew.Store(true) // its caller knows that history was cut, and goes by what is left
	}
	return said == "thawed", about("reassert in", a.Ledger, err)
}

// pageSize is about how many tokens are on one page of Entries.
const pageSize = 500

func (s *Store) Entries(ctx context.Context, q stock.Query) (found []stock.Entry, next string, err error) {
	var args []any
	switch token := text(q.Token); {
	case token != "":
		args = []any{"token", token}
	case q.Ref != "":
		args = []any{"ref", q.Ref}
	case q.Cursor != "":
		args = []any{"page", q.Cursor, pageSize}
	default:
		args = []any{"page", "0", pageSize}
	}
	reply, err := s.call(ctx, entriesScript, q.Ledger, 0, args...)
	l := list(reply)
	if err == nil && len(l) == 0 {
		err = stock.ErrNotLoaded
	}
	if err != nil {
		return nil, "", about("find tokens in", q.Ledger, err)
	}
	if next, _ = l[0].(string); next == "0" {
		next = ""
	}
	return entries(l[1:]), next, nil
}

// word calls a script that replies one word.
func (s *Store) word(ctx context.Context, of script, ledger string, args ...any) (string, error) {
	reply, err := s.call(ctx, of, ledger, s.replicas, args...)
	said, ok := reply.(string)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", errReply
	case said == "not_loaded":
		return "", stock.ErrNotLoaded
	}
	return said, nil
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// about names the ledger in an error.
func about(verb, ledger string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s ledger %q: %w", verb, ledger, err)
}
