// Package pipeline is the heart: it keeps the index equal to what the source publishes.
//
// The idea: a document has the chunks it should have, or it owes. Whoever learns that a document may have changed
// marks it (Dirty.Mark); a worker claims it, looks at the source as it is now, looks up what the index holds, and makes
// the difference disappear. Publish, edit, unpublish, delete, backfill and repair are that one operation, because an
// unpublished document is simply a document with no chunks.
//
//	            Mark                    Take
//	(paid) ──────────────▶ owed:ready ─────────▶ owed:claimed ──Settle──▶ (paid), or ready when marked meanwhile
//	                          ▲  ▲                  │  │  │
//	                     due  │  │ Unblock    Retry │  │  └──Park──▶ parked ──Mark──▶ owed:ready
//	                     owed:later ◀──────────────-┘  └──Block──▶ owed:blocked (its provider is paused)
//
// A hint names only a row. If the row is below a document it is resolved into a mark of that document; if documents show
// it (Key.Shown), it is spread: every one of them is marked, page by page, at the pace at which they are paid.
//
// Rooms: read (Dirty.Mark and the source's snapshot), reconcile (Reconciler), confirm (Saver). The one invariant:
// every change committed since the slot exists is in the log after the saved checkpoint, or owed in the store, or in
// the index. Debts that do not fit into memory stay in the store.
package pipeline
