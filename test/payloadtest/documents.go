package payloadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Fields are values by field name, as Payload takes and gives them. Methods that end in more take Payload's own options
// of the operation in the same form: {"draft": true, "locale": "de", "disableTransaction": true}.
type Fields = map[string]any

// written is what the driver tells of a document it has written: the id is a number or a text.
type written struct {
	ID json.RawMessage `json:"id"`
}

func (w written) id() string {
	var text string
	if json.Unmarshal(w.ID, &text) == nil {
		return text
	}
	return string(w.ID)
}

// Create creates a document and returns its id. Without "draft" in more and without _status in data it is a draft all
// the same; {"_status": "published"} publishes it.
func (a *App) Create(ctx context.Context, collection string, data Fields, more ...Fields) (id string, err error) {
	var w written
	err = a.Call(ctx, "create", args(more, Fields{"collection": collection, "data": data}), &w)
	return w.id(), err
}

// Update changes a document. On a published one the change is public at once, unless more has "draft".
func (a *App) Update(ctx context.Context, collection, id string, data Fields, more ...Fields) error {
	return a.Call(ctx, "update", args(more, Fields{"collection": collection, "id": id, "data": data}), nil)
}

// SaveDraft changes the draft of a document, as the admin panel's autosave does; what is published stays as it is.
func (a *App) SaveDraft(ctx context.Context, collection, id string, data Fields) error {
	return a.Update(ctx, collection, id, data, Fields{"draft": true})
}

// Publish publishes a document's newest draft, and data with it.
func (a *App) Publish(ctx context.Context, collection, id string, data Fields, more ...Fields) error {
	return a.Update(ctx, collection, id, args([]Fields{data}, Fields{"_status": "published"}), more...)
}

// Unpublish makes a document a draft again.
func (a *App) Unpublish(ctx context.Context, collection, id string) error {
	return a.Update(ctx, collection, id, Fields{"_status": "draft"})
}

// Trash moves a document of a collection with a trash there. It stays published by its status.
func (a *App) Trash(ctx context.Context, collection, id string) error {
	return a.Update(ctx, collection, id, Fields{"deletedAt": time.Now().UTC()})
}

// Untrash takes a document out of the trash.
func (a *App) Untrash(ctx context.Context, collection, id string) error {
	return a.Update(ctx, collection, id, Fields{"deletedAt": nil}, Fields{"trash": true})
}

// Delete deletes a document and its versions.
func (a *App) Delete(ctx context.Context, collection, id string) error {
	return a.Call(ctx, "delete", Fields{"collection": collection, "id": id}, nil)
}

// BulkPublish publishes every document that matches, in one transaction, and returns how many there were.
func (a *App) BulkPublish(ctx context.Context, collection string, where Fields) (int, error) {
	return a.UpdateWhere(ctx, collection, where, Fields{"_status": "published"})
}

// UpdateWhere changes every document that matches, in one transaction, and returns how many there were.
func (a *App) UpdateWhere(ctx context.Context, collection string, where, data Fields, more ...Fields) (int, error) {
	return a.bulk(ctx, "update", args(more, Fields{"collection": collection, "where": where, "data": data}))
}

// DeleteWhere deletes every document that matches, in one transaction, and returns how many there were.
func (a *App) DeleteWhere(ctx context.Context, collection string, where Fields) (int, error) {
	return a.bulk(ctx, "delete", Fields{"collection": collection, "where": where})
}

func (a *App) bulk(ctx context.Context, op string, args Fields) (int, error) {
	var r struct {
		Docs   []written `json:"docs"`
		Errors []struct {
			ID      any    `json:"id"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err := a.Call(ctx, op, args, &r); err != nil {
		return 0, err
	}
	// Payload reports what it could not do and does the rest.
	var errs []error
	for _, e := range r.Errors {
		errs = append(errs, fmt.Errorf("%s of %v: %s", op, e.ID, e.Message))
	}
	return len(r.Docs), errors.Join(errs...)
}

// Find returns the documents that match, relations as ids.
func (a *App) Find(ctx context.Context, collection string, where Fields, more ...Fields) ([]Fields, error) {
	var r struct {
		Docs []Fields `json:"docs"`
	}
	err := a.Call(ctx, "find", args(more, Fields{"collection": collection, "where": where, "pagination": false}), &r)
	return r.Docs, err
}

// Entry is a published text as Payload itself reads it back: a document, or one locale of a localized one.
type Entry struct {
	Collection string `json:"collection"` // or global
	ID         string `json:"id"`
	Locale     string `json:"locale"` // empty for a collection that is not localized
	Title      string `json:"title"`
	Content    string `json:"content"`   // plain text that must be found in the index
	Words      string `json:"words"`     // every string of the document: nothing else may be found
	UpdatedAt  string `json:"updatedAt"` // empty for a collection that keeps no times
}

// Readback returns all that is published of the collections and globals, or of every collection with drafts when none are
// named: the text of whole documents, blocks and arrays and all. A locale without a text of its own has no entry.
func (a *App) Readback(ctx context.Context, slugs ...string) ([]Entry, error) {
	var entries []Entry
	err := a.Call(ctx, "readback", Fields{"slugs": slugs}, &entries)
	return entries, err
}

// Steps begins a list of operations of the project, "main" or "alt", and returns their names in order. more is
// {"disableTransaction": true}, for those operations that take it. Step does the next one.
func (a *App) Steps(ctx context.Context, list string, more ...Fields) (names []string, err error) {
	err = a.Call(ctx, "steps", args(more, Fields{"list": list}), &names)
	return names, err
}

// Step does the next operation of the list that Steps began. Each may build on those before it.
func (a *App) Step(ctx context.Context) error { return a.Call(ctx, "step", nil, nil) }

// Seeded is a document of the demo's content.
type Seeded struct {
	Collection string `json:"collection"`
	ID         string `json:"id"`
	Title      string `json:"title"`
	Published  bool   `json:"published"` // false for drafts and what is in the trash
}

// Seed creates the demo's content: about twenty documents in four collections.
func (a *App) Seed(ctx context.Context) ([]Seeded, error) {
	var seeded []Seeded
	err := a.Call(ctx, "seed", Fields{}, &seeded)
	return seeded, err
}

// RichText is the value of a rich text field with these paragraphs, as Payload's editor saves it.
func RichText(paragraphs ...string) Fields {
	element := func(kind string, children []Fields) Fields {
		return Fields{"type": kind, "version": 1, "direction": "ltr", "format": "", "indent": 0, "children": children}
	}
	children := make([]Fields, len(paragraphs))
	for i, text := range paragraphs {
		children[i] = element("paragraph", []Fields{{"type": "text", "version": 1, "detail": 0, "format": 0, "mode": "normal", "style": "", "text": text}})
	}
	return Fields{"root": element("root", children)}
}

// args joins options and what the method says itself, which wins.
func args(more []Fields, own Fields) Fields {
	all := Fields{}
	for _, m := range append(more, own) {
		maps.Copy(all, m)
	}
	return all
}
