package ladder

// What an operator has said against a verdict.

import (
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

// Forgive ends the account's ban in a sale as if its time were over: what has led to it is
// spent, and a challenge that is owed besides stays owed. It reports whether there was one.
func (l *Ladder) Forgive(sale *rules.Sale, account string) bool {
	if sale.Ladder == nil {
		return false
	}
	v := l.visitor(&gate.Facts{At: time.Now(), Sale: sale, Account: account})
	defer l.accounts.Look(v.key, v.now).Free() // the lock is the verdict's too, also when the account is forgotten
	p, _ := l.penalties.Look(v.key)
	if p.ban <= v.now {
		return false
	}
	p.ban = 0
	l.penalties.Put(v.key, p, v.now)
	return true
}
