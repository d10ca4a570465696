package main

// What is counted of cheats, for a scrape.

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"penstock/rules"
)

var (
	bansInForce     = desc("bans", "Bans in force, of all gateways, by what has led to them; by_hand are operators'.", "signal")
	ladderBans      = desc("ladder_bans_total", "Accounts that this gateway's ladder has banned, by what has led to it.", "signal")
	ladderKnown     = desc("ladder_remembered", "Accounts, addresses and networks that the ladder remembers.", "of")
	ladderForgotten = desc("ladder_forgotten_total", "Of these, those that made room for others.")
	ladderPenalties = desc("ladder_penalties", "Accounts on the challenge or ban rung, whom it never forgets before the end.")
	ladderRoom      = desc("ladder_penalties_room", "How many it has room for; with more, every stranger owes a challenge.")
	termRefused     = desc("term_refusals_total", "Requests that a sale's term of taking part has refused.", "sale", "term")
	copyAge         = desc("copy_age_seconds", "Since a key of terms was last read whole.", "key")
	decisionLines   = desc("decisions_logged_total", "Lines written to the log of decisions.")
	decisionDrops   = desc("decisions_dropped_total", "Lines for which there was no room: the disk is too slow.")
	decisionFails   = desc("decisions_failed_writes_total", "Writes of that log that failed, each of many lines.")
)

// Describe implements prometheus.Collector.
func (c *cheats) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		bansInForce, ladderBans, ladderKnown, ladderForgotten, ladderPenalties, ladderRoom, termRefused, copyAge,
		decisionLines, decisionDrops, decisionFails,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *cheats) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	bans := map[rules.Signal]int{rules.ByHand: 0}
	for _, n := range c.book.List() {
		bans[n.Signal]++
	}
	for by, n := range bans {
		gauge(bansInForce, float64(n), by.String())
	}
	s := c.ladder.Stats()
	for by, n := range s.Bans {
		if by := rules.Signal(by); by != rules.NoSignal {
			counter(ladderBans, n, by.String())
		}
	}
	for of, n := range map[string]int{"accounts": s.Accounts, "addresses": s.Addresses, "networks": s.Networks} {
		gauge(ladderKnown, float64(n), of)
	}
	counter(ladderForgotten, s.Forgotten)
	gauge(ladderPenalties, float64(s.Penalties))
	gauge(ladderRoom, float64(s.Room))
	for _, t := range c.eligible.Stats() {
		counter(termRefused, t.Refused, t.Sale, t.Term)
	}
	for _, k := range c.copies.Stats() {
		if !k.Read.IsZero() {
			gauge(copyAge, time.Since(k.Read).Seconds(), k.Key)
		}
	}
	d := c.decided.Stats()
	counter(decisionLines, d.Lines)
	counter(decisionDrops, d.Dropped)
	counter(decisionFails, d.Failures)
}
