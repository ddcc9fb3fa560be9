package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/payload"
)

// errGone means that tables of an indexed collection are not there, and have not been missing for long.
var errGone = errors.New("tables are gone")

// goneReason is why a collection is compared that nobody asked to leave.
const goneReason = "its tables, or its drafts, are gone"

// gonePrint is remembered of a collection that is named, and whose tables are gone.
const gonePrint = "gone"

// present discovers what there is to index. A collection that the state knows, and that no configuration takes away,
// may be missing because somebody is just making its tables anew: a migration drops and creates, and commits in between.
// As long as that may be so, nothing is read, compared or removed, and the error is errGone. What is still missing after
// that is gone: it is returned, and what the index holds of it is swept, with the loss guard.
func (d *Daemon) present(ctx context.Context) (model *payload.Model, gone []string, err error) {
	model, known, gone, err := d.known(ctx)
	if err != nil {
		return nil, nil, err
	}
	since := map[string]time.Time{}
	var waiting []string
	for _, slug := range gone {
		if since[slug] = d.missing[slug]; since[slug].IsZero() {
			since[slug] = time.Now()
		}
		if known[slug] != gonePrint && time.Since(since[slug]) < d.cfg.GoneAfter {
			waiting = append(waiting, slug)
		}
	}
	d.missing = since
	if len(waiting) > 0 {
		return nil, nil, fmt.Errorf("%w, or drafts: of collection %s; perhaps a migration is at work, so nothing is removed for %s",
			errGone, strings.Join(waiting, ", "), d.cfg.GoneAfter)
	}
	return model, gone, nil
}

// known discovers what there is to index, and lists what is missing of that which the state knows, by its fingerprints.
func (d *Daemon) known(ctx context.Context) (model *payload.Model, prints map[string]string, gone []string, err error) {
	_, prints, err = checkpoint.Remembered(ctx, d.state, d.cfg.StateSchema)
	if err != nil && !errors.Is(err, checkpoint.ErrNoState) {
		return nil, nil, nil, err
	}
	model, gone, err = d.absent(ctx, prints)
	return model, prints, gone, err
}

// absent discovers, and lists which of the known collections are missing without the configuration having said so.
func (d *Daemon) absent(ctx context.Context, known map[string]string) (model *payload.Model, gone []string, err error) {
	model, err = d.discover(ctx, d.cfg.Collections)
	if errors.Is(err, payload.ErrUnknownCollection) {
		// Those that exist go on. A name that never was one is a mistake, and stays an error.
		unknown := err
		var rest []string
		for _, slug := range d.cfg.Collections {
			_, err := d.discover(ctx, []string{slug})
			switch {
			case !errors.Is(err, payload.ErrUnknownCollection):
				rest = append(rest, slug)
			case known[slug] == "":
				return nil, nil, unknown
			}
		}
		if len(rest) == 0 {
			return nil, nil, unknown
		}
		model, err = d.discover(ctx, rest)
	}
	if err != nil {
		return nil, nil, err
	}
	for _, slug := range slices.Sorted(maps.Keys(known)) {
		if model.Fingerprint(slug) != "" {
			continue
		}
		removed, err := d.unconfigured(ctx, model, slug)
		if err != nil {
			return nil, nil, err
		}
		if !removed {
			gone = append(gone, slug)
		}
	}
	return model, gone, nil
}

// unconfigured says whether a collection is missing from the model because the configuration says so: by not naming it,
// or by another spelling of its slug.
func (d *Daemon) unconfigured(ctx context.Context, model *payload.Model, slug string) (bool, error) {
	if len(d.cfg.Collections) > 0 {
		return !slices.Contains(d.cfg.Collections, slug), nil
	}
	alone, err := d.discover(ctx, []string{slug})
	switch {
	case errors.Is(err, payload.ErrUnknownCollection), errors.Is(err, payload.ErrNotPayload):
		return false, nil
	case err != nil:
		return false, err
	}
	table := alone.Collections()[0].Table
	return slices.ContainsFunc(model.Collections(), func(c payload.Collection) bool { return c.Table == table }), nil
}
