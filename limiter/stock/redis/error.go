package redis

// What an error says about the call it ended.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"penstock/limiter/stock"
)

// ErrNotDone is in the chain of every error after which it is certain that nothing was done.
var ErrNotDone = errors.New("nothing was done")

var (
	errLate  = errors.New("store did not answer in time")
	errFull  = errors.New("too many calls wait for the store")
	errReply = errors.New("redis replied what no script replies")
)

// few says that too few replicas have what was written. It is written nevertheless.
func few(got, want int) error {
	return fmt.Errorf("%d replicas acknowledged in time, want %d", got, want)
}

// refused are the first words of replies by which a server says that it has not begun.
// OOM, READONLY, NOREPLICAS and MISCONF stop a script at its first write, which no script
// of ours makes before all its reads.
var refused = []string{
	"NOSCRIPT ", "MOVED ", "ASK ", "TRYAGAIN ", "CROSSSLOT ", "CLUSTERDOWN ", "MASTERDOWN ", "LOADING ",
	"READONLY ", "BUSY ", "OOM ", "NOREPLICAS ", "MISCONF ", "NOAUTH ", "WRONGPASS ", "max number of clients",
}

// passing are those of them that end by themselves.
var passing = []string{
	"NOSCRIPT ", "MOVED ", "ASK ", "TRYAGAIN ", "CLUSTERDOWN ", "MASTERDOWN ", "LOADING ", "READONLY ",
	"BUSY ", "NOREPLICAS ", "max number of clients",
}

func begins(err error, words []string) bool {
	for _, w := range words {
		if redis.HasErrorPrefix(err, w) {
			return true
		}
	}
	return false
}

// replied reports whether the error came from a server, and not from the way to it.
func replied(err error) bool {
	var e redis.Error
	return errors.As(err, &e)
}

// notDone reports whether the attempt that failed so has surely done nothing.
func notDone(err error) bool {
	var op *net.OpError
	return begins(err, refused) || errors.As(err, &op) && op.Op == "dial" ||
		errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// Again reports whether another attempt at a call may do better, if it is one that may be
// sent twice.
func Again(err error) bool { return again(err) }

// again reports whether another attempt may do better.
func again(err error) bool {
	if replied(err) {
		return begins(err, passing)
	}
	var way net.Error
	return notDone(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.As(err, &way)
}

// damage makes an error of its own of a script that broke off: the data are not what the
// scripts write, and trying again cannot make them so.
func damage(err error) error {
	if !replied(err) || begins(err, refused) {
		return err
	}
	said := err.Error()
	if strings.HasPrefix(said, "WRONGTYPE ") || strings.Contains(said, "user_script") ||
		strings.Contains(said, "Error running script") {
		return fmt.Errorf("%w: %w", stock.ErrDamaged, err)
	}
	return err
}
