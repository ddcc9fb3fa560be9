package chaos

import (
	"time"

	"payload-cdc/internal/local"
)

// A write without an answer is in doubt for three times CDC_INDEX_TIMEOUT, which is a second here: what arrives late
// arrives before that.
const (
	late  = 1200 * time.Millisecond
	stall = 2 * time.Second
)

// vectors is every fault of the index, each with this chance. The lies come first.
func vectors(chance float64) []local.Rule {
	return []local.Rule{
		{Fault: local.AppliedThenCut, Chance: chance},
		{Fault: local.CutBody, Chance: chance},
		{Fault: local.Late, Chance: chance, Delay: late},
		{Fault: local.Stall, Chance: chance / 2, Delay: stall},
		{Fault: local.Cut, Chance: chance},
		{Fault: local.Slow, Chance: chance, Delay: 200 * time.Millisecond},
		{Fault: local.RateLimit, Chance: chance, Delay: 100 * time.Millisecond},
		{Fault: local.ServerError, Chance: chance},
		{Fault: local.BadGateway, Chance: chance},
		{Fault: local.BadToken, Chance: chance / 10},
	}
}

// models is the same for the embedding provider.
func models(chance float64) []local.Rule {
	return []local.Rule{
		{Fault: local.Cut, Chance: chance},
		{Fault: local.CutBody, Chance: chance},
		{Fault: local.Slow, Chance: chance, Delay: 200 * time.Millisecond},
		{Fault: local.RateLimit, Chance: chance, Delay: 100 * time.Millisecond},
		{Fault: local.ServerError, Chance: chance},
		{Fault: local.BadGateway, Chance: chance},
		{Fault: local.BadToken, Chance: chance / 10},
		{Fault: local.ShortData, Chance: chance},
		{Fault: local.WrongIndex, Chance: chance},
		{Fault: local.OutOfOrder, Chance: chance},
		{Fault: local.NotANumber, Chance: chance},
	}
}

// vectorWeather are the ways in which the index is bad for a while.
func vectorWeather() [][]local.Rule {
	return [][]local.Rule{
		vectors(.1),
		{{Fault: local.AppliedThenCut, Chance: .3}, {Fault: local.CutBody, Chance: .4}},
		{{Fault: local.Late, Chance: .4, Delay: late}, {Fault: local.AppliedThenCut, Chance: .2}},
		{{Fault: local.Late, Endpoint: "upsert", Chance: .5, Delay: late}, {Fault: local.Stall, Endpoint: "delete", Chance: .5, Delay: stall}},
		{{Fault: local.Stall, Chance: .5, Delay: stall}},
		{{Fault: local.Cut, Chance: .6}},
		{{Fault: local.RateLimit, Chance: .8, Delay: 300 * time.Millisecond}},
		{{Fault: local.BadGateway, Chance: .5}, {Fault: local.ServerError, Chance: 1}},
		{{Fault: local.BadToken, Chance: 1}},
		{{Fault: local.AppliedThenCut, Endpoint: "delete", Chance: 1}, {Fault: local.CutBody, Endpoint: "upsert", Chance: 1}},
	}
}

// modelWeather are the ways in which the embedding provider is bad for a while.
func modelWeather() [][]local.Rule {
	return [][]local.Rule{
		models(.1),
		{{Fault: local.Stall, Chance: 1}},
		{{Fault: local.Cut, Chance: .8}},
		{{Fault: local.RateLimit, Chance: .8, Delay: 300 * time.Millisecond}},
		{{Fault: local.BadGateway, Chance: .5}, {Fault: local.ServerError, Chance: 1}},
		{{Fault: local.BadToken, Chance: 1}},
		{{Fault: local.Quota, Chance: 1}},
		{{Fault: local.ShortData, Chance: .3}, {Fault: local.WrongIndex, Chance: .5}, {Fault: local.NotANumber, Chance: 1}},
	}
}
