// Package admin is what a running instance says of itself over HTTP: health for probes, metrics for Prometheus, the
// status for programs (/api/status) and for people (/, and the table of cdc status).
//
// The idea: everything shown is one Status or one Gauges, looked at by functions that the package is given. It knows
// nothing of Postgres, of providers or of the pipeline. One thing can be asked for that changes something, with a token:
// that parked documents be tried again.
//
// The invariant: looking is cheap and harmless. However many clients ask, Config.Status is asked by one at a time and at
// most once a second, and a scrape asks nobody but MetricsConfig.Gauges, once. Limits: reading needs no token;
// whoever reaches the address may.
package admin
