// Package replication is the one place that speaks to Postgres about its log: the publication, the slot, the stream of
// committed transactions, and confirming what has become durable on our side.
//
// The idea: Postgres keeps the log until we say that we do not need it any more, so the only thing that can lose data
// is saying so too early. Protocol version 1 sends a transaction only once it has committed, whole, and in the order
// of commits; every position that a Receiver is given is therefore a place where reading may resume.
//
// The invariant: a position is confirmed only if Confirm was called with it, and only up to the end of the last
// transaction (or the last keepalive between transactions) that the server itself has sent on this connection. It
// never moves back and is never zero. No arithmetic is done on positions.
//
//	Open ── START_REPLICATION ──▶ Run ──────────────────────────────▶ Close
//	                              │ reader: bytes → decoder → Receiver
//	                              │ tender: status on a timer, after Confirm and when asked;
//	                              │         closes the connection when the Receiver hangs
//
// The reader owns reading and the tender owns writing; they share the socket and nothing else. A consumer that stops
// reading can stop checkpoints on the primary, so the socket is always drained, or closed.
//
// Limits: the server is Postgres 14 or newer and a primary. One tuple is held in memory whole, as the server sends it.
// Nothing here knows what a document or a vector is.
package replication
