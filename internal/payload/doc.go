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
// Limits of this stage: the text is that of the root table and its locales; blocks, arrays and hasMany fields are
// followed in the log but not read.
package payload
