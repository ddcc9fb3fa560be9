package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"payload-cdc/internal/local"
	"payload-cdc/test/payloadtest"
)

// What the new document says: as a first draft, corrected, and as a draft that nobody may find.
const (
	firstText  = "Kintsugi joins the pieces of a broken cup with lacquer and gold dust, and does not hide the cracks."
	secondText = "Urushi lacquer needs two weeks in a damp cupboard to harden; only then is the gold dusted on."
	draftText  = "To do: ask the workshop whether the price includes the gold."
)

// change is something that an editor does, and what the index must look like then.
type change struct {
	act   string
	title string
	do    func(ctx context.Context) error
	met   func(vectors []local.Vector) bool // nil: the index must not change
	then  string
}

// playChanges does what editors do, and shows when each change could be found. What must not be found is watched for
// until later changes have arrived: the log is read in order, so it would have been there by then.
func (s *Stage) playChanges(ctx context.Context) error {
	s.out.Title("Changing documents in Payload, and watching the index")
	s.out.Text(s.out.paint(faint, fmt.Sprintf("    %s%9s %9s", pad("", 50), "Payload", "index")))
	s.out.Text(s.out.paint(faint, fmt.Sprintf("    %s%9s %9s", pad("what an editor does", 50), "took", "after")))
	trashed, err := s.find("events", "Repair café, spring edition")
	if err != nil {
		return err
	}
	deleted, err := s.find("posts", "Quiet hours for a shared office")
	if err != nil {
		return err
	}
	const title = "Mending a cup with gold"
	content := func(paragraphs ...string) payloadtest.Fields {
		return payloadtest.Fields{"content": payloadtest.RichText(paragraphs...)}
	}
	var id string // of the new document
	here := func(vectors []local.Vector, text string) bool { return says(vectors, "posts", id, text) }

	leaked, forget := s.index.Expect(func(v []local.Vector) bool { return says(v, "", "", draftText) })
	defer forget()
	early, forgetEarly := s.index.Expect(func(v []local.Vector) bool { return says(v, "", "", firstText) })
	defer forgetEarly()

	for _, c := range []change{
		{act: "draft", title: title, then: "drafts stay out", do: func(ctx context.Context) (err error) {
			fields := content(firstText)
			fields["title"] = title
			id, err = s.payload.Create(ctx, "posts", fields, payloadtest.Fields{"draft": true})
			return err
		}},
		{
			act: "publish", title: title, then: "can be found",
			do: func(ctx context.Context) error {
				select {
				case <-early:
					return errors.New("the index held it while it was only a draft")
				default:
					forgetEarly()
				}
				return s.payload.Publish(ctx, "posts", id, nil)
			},
			met: func(v []local.Vector) bool { return here(v, firstText) },
		},
		{
			act: "edit", title: title, then: "new text in, old text out",
			do:  func(ctx context.Context) error { return s.payload.Update(ctx, "posts", id, content(secondText)) },
			met: func(v []local.Vector) bool { return here(v, secondText) && !here(v, firstText) },
		},
		{act: "save draft", title: title, then: "readers keep the published text", do: func(ctx context.Context) error {
			return s.payload.SaveDraft(ctx, "posts", id, content(draftText))
		}},
		{
			act: "unpublish", title: title, then: "gone",
			do:  func(ctx context.Context) error { return s.payload.Unpublish(ctx, "posts", id) },
			met: func(v []local.Vector) bool { return !here(v, "") },
		},
		{
			act: "trash", title: trashed.Title, then: "gone",
			do:  func(ctx context.Context) error { return s.payload.Trash(ctx, trashed.Collection, trashed.ID) },
			met: func(v []local.Vector) bool { return !says(v, trashed.Collection, trashed.ID, "") },
		},
		{
			act: "delete", title: deleted.Title, then: "gone",
			do:  func(ctx context.Context) error { return s.payload.Delete(ctx, deleted.Collection, deleted.ID) },
			met: func(v []local.Vector) bool { return !says(v, deleted.Collection, deleted.ID, "") },
		},
	} {
		if err := s.play(ctx, c); err != nil {
			return fmt.Errorf("%s %q: %w", c.act, c.title, err)
		}
	}
	select {
	case <-leaked:
		return errors.New("the index held the text of a draft")
	default:
	}
	s.out.Text("")
	return s.out.Step("comparing the index with Payload", func(progress func(string)) (string, error) {
		ctx, cancel := within(ctx, time.Minute)
		defer cancel()
		if err := s.settle(ctx, func(string) {}); err != nil {
			return "", err
		}
		documents, err := s.matches(ctx)
		return fmt.Sprintf("the index is exactly what Payload has published: %d documents", documents), err
	})
}

// play does one change and waits until the index follows.
func (s *Stage) play(ctx context.Context, c change) error {
	ctx, cancel := within(ctx, 30*time.Second)
	defer cancel()
	what := pad(c.act, 12) + pad(cut(c.title, 36), 38)
	return s.out.During(what, func(func(string)) (string, error) {
		saved, after, err := s.measure(ctx, c)
		return fmt.Sprintf("%s%9s %9s   %s", what, saved, after, s.out.paint(faint, c.then)), err
	})
}

// measure says how long Payload took for a change, and how long after its answer the index had followed.
func (s *Stage) measure(ctx context.Context, c change) (saved, after string, err error) {
	var arrived <-chan time.Time
	if c.met != nil {
		var forget func()
		arrived, forget = s.index.Expect(c.met)
		defer forget()
	}
	began := time.Now()
	if err := c.do(ctx); err != nil {
		return "", "", err
	}
	answered := time.Now()
	saved, after = millis(answered.Sub(began)), "–"
	if c.met == nil {
		return saved, after, nil
	}
	select {
	case at := <-arrived:
		return saved, millis(at.Sub(answered)), nil // the index may have it before Payload has answered
	case <-s.cdc.Exited():
		return "", "", s.cdc.Ended()
	case <-ctx.Done():
		return "", "", fmt.Errorf("it is saved, and the index does not show it: %w", context.Cause(ctx))
	}
}

// find returns a published document of the seeded content.
func (s *Stage) find(collection, title string) (payloadtest.Seeded, error) {
	for _, doc := range s.seeded {
		if doc.Published && doc.Collection == collection && doc.Title == title {
			return doc, nil
		}
	}
	return payloadtest.Seeded{}, fmt.Errorf("the content has no published document %q in %s", title, collection)
}

// says reports whether a chunk of the document contains the text. No collection is any document.
func says(vectors []local.Vector, collection, id, text string) bool {
	for _, v := range vectors {
		if v.Data == nil || !strings.Contains(*v.Data, text) {
			continue
		}
		if m := metadataOf(v.Metadata); collection == "" || m.Collection == collection && m.DocID == id {
			return true
		}
	}
	return false
}

// metadata is what readers of the index find beside a vector.
type metadata struct {
	DocID      string `json:"docId"`
	Collection string `json:"collection"`
	Title      string `json:"title"`
}

func metadataOf(raw json.RawMessage) metadata {
	var m metadata
	_ = json.Unmarshal(raw, &m) // what is not ours names no document
	return m
}
