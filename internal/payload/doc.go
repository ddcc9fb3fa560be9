// Package payload is the only package that speaks Payload: what Payload 3 stores in Postgres, which row belongs to
// which document, which documents are published, and what their text is.
//
// The idea: everything is read from the catalog, by columns and foreign keys, never by suffixes of names. Discover
// makes a Model of it. Marks turns rows of the log into the keys of documents, without reading anything. Reader looks at
// documents as they are now, each batch in one snapshot.
//
//	roots (collections, globals) ◀── _parent_id, ON DELETE CASCADE ── blocks, arrays, locales
//	                             ◀── parent_id,  ON DELETE CASCADE ── rels, texts, numbers, selects
//
// The one invariant: a change that Payload makes to a published document always yields its key, or a hint that leads
// to it, or a sweep of its collection. Text is never taken from the log.
//
// A document is read as a tree: one query for each table that can hold text or lead to such, whatever the number of
// documents, and rows are hung on each other as Payload does it. A hasMany field's row, or a block in a block, is named by a path
// ("layout.2.columns.0.content"); Payload leaves rows behind at paths that lead nowhere any more, and those are dead.
//
// Rules choose what of it is text. Without them names and types do: see whyNot. They can also show text of the documents
// that relations lead to: those are read in the same snapshot, and a change of one leads through Reader.Showing to all
// that show it.
//
// Limits: with blocksAsJSON the choice of a select is a string as any other, so that only its field's name can tell it; and a hasMany
// field that the project has dropped is text as long as its rows are there, as is one of a block whose place another has
// taken.
package payload
