package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"payload-cdc/internal/admin"
	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/pipeline"
)

// Repair asks whoever owns the state, now or at its next start, to compare a collection (everything when empty) with
// the index and to make it right. With force, documents that are gone are removed however many they are.
func Repair(ctx context.Context, cfg Config, collection string, force bool) (string, error) {
	d, model, err := inspect(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer d.close()
	left, err := d.left(ctx, model)
	if err != nil {
		return "", err
	}
	if collection != "" && model.Fingerprint(collection) == "" && !slices.Contains(left, collection) {
		return "", fmt.Errorf("the collection %s is not indexed: cdc status lists those that are", collection)
	}
	err = checkpoint.Ask(ctx, d.state, d.cfg.StateSchema, owed.Request{Collection: collection, Force: force})
	if errors.Is(err, checkpoint.ErrNoState) {
		return "", fmt.Errorf("cdc has not run here yet, so there is nothing to repair: start cdc run (%w)", err)
	}
	if err != nil {
		return "", err
	}
	what := collection
	if what == "" {
		what = "everything"
	}
	return "asked cdc run to compare " + what + " with the index and make it right: cdc status shows how far it is", nil
}

// Parked lists the documents that are set aside, the oldest first. None when cdc has not run here yet.
func Parked(ctx context.Context, cfg Config) ([]owed.Parked, error) {
	d, err := attach(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer d.close()
	return d.parked(ctx)
}

func (d *Daemon) parked(ctx context.Context) ([]owed.Parked, error) {
	list, err := checkpoint.Parked(ctx, d.state, d.cfg.StateSchema)
	if errors.Is(err, checkpoint.ErrNoState) {
		return nil, nil
	}
	for i := range list {
		list[i].Reason = d.cfg.Hide(list[i].Reason)
	}
	return list, err
}

// RetryParked asks whoever owns the state to try parked documents again: one, or each of a collection, or all when both
// are empty. It returns those that it asked for; none is an error.
func RetryParked(ctx context.Context, cfg Config, collection, id string) ([]owed.Parked, error) {
	d, err := attach(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer d.close()
	return d.retryParked(ctx, collection, id)
}

// notParked is what was named and is not parked.
type notParked struct{ text string }

func (n *notParked) Error() string { return n.text }

func (d *Daemon) retryParked(ctx context.Context, collection, id string) ([]owed.Parked, error) {
	all, err := d.parked(ctx)
	if err != nil {
		return nil, err
	}
	var chosen []owed.Parked
	for _, p := range all {
		if (collection == "" || p.Key.Collection == collection) && (id == "" || p.Key.ID == id) {
			chosen = append(chosen, p)
		}
	}
	switch {
	case len(all) == 0:
		return nil, &notParked{"nothing is parked"}
	case len(chosen) == 0 && id != "":
		return nil, &notParked{fmt.Sprintf("%s/%s is not parked: cdc parked list shows what is", collection, id)}
	case len(chosen) == 0:
		return nil, &notParked{fmt.Sprintf("no document of %s is parked: cdc parked list shows what is", collection)}
	}
	return chosen, checkpoint.Ask(ctx, d.state, d.cfg.StateSchema, owed.Request{Parked: true, Collection: collection, Document: id})
}

// retryOverHTTP is retryParked for those who bear the token. The request is in the state, so it may come to an instance
// that only stands by.
func (d *Daemon) retryOverHTTP(ctx context.Context, collection, id string) (int, error) {
	chosen, err := d.retryParked(ctx, collection, id)
	if _, none := errors.AsType[*notParked](err); none {
		return 0, admin.ErrNotParked
	}
	return len(chosen), err
}

// left lists collections that are not indexed any more, and whose removal is not over.
func (d *Daemon) left(ctx context.Context, model *payload.Model) ([]string, error) {
	overview, err := checkpoint.Peek(ctx, d.state, d.cfg.StateSchema)
	if err != nil && !errors.Is(err, checkpoint.ErrNoState) {
		return nil, err
	}
	var left []string
	for _, s := range overview.Sweeps {
		if s.Collection != "" && model.Fingerprint(s.Collection) == "" {
			left = append(left, s.Collection)
		}
	}
	return left, nil
}

// answer owes what was asked for from outside. A request goes only once its sweep is saved.
func (o *owner) answer(ctx context.Context) error {
	requests, err := o.d.store.Requests(ctx)
	if err != nil || len(requests) == 0 {
		return err
	}
	for _, r := range requests {
		if r.Parked {
			n := o.pipeline.Dirty.RetryParked(r.Collection, r.Document)
			o.d.log.Info("parked documents are tried again", "collection", r.Collection, "document", r.Document, "documents", n)
			continue
		}
		marks := []pipeline.SweepMark{{Collection: r.Collection, Strength: owed.Prove, Reason: "cdc verify --repair", Force: r.Force}}
		if r.Collection == "" { // everything is what is indexed; what has left and is held is asked for too
			for _, s := range o.pipeline.Stats().Sweeps {
				if s.Held > 0 && o.ready.model.Fingerprint(s.Collection) == "" {
					marks = append(marks, pipeline.SweepMark{Collection: s.Collection, Reason: "cdc verify --repair", Force: r.Force})
				}
			}
		}
		o.pipeline.Dirty.Sweep(marks...)
		o.d.log.Info("a comparison was asked for", "collection", r.Collection, "force", r.Force)
	}
	if err := o.pipeline.Save(ctx); err != nil {
		return err
	}
	return o.d.store.Answered(ctx, requests)
}
