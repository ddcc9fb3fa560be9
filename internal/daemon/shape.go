package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// members are the tables of the publication, each with the OID of its entry. An entry is never changed, only made and
// removed: another OID says that the table has left in between, or is another table of the same name. Of what was
// written meanwhile nothing is in the log, and nothing else tells.
type members map[replication.Table]uint32

func (d *Daemon) members(ctx context.Context) (members, error) {
	rows, err := d.source.Query(ctx, `
		SELECT n.nspname::text, c.relname::text, pr.oid
		FROM pg_publication p JOIN pg_publication_rel pr ON pr.prpubid = p.oid
		JOIN pg_class c ON c.oid = pr.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE p.pubname = $1`, d.cfg.Publication)
	if err != nil {
		return nil, fmt.Errorf("list the publication's tables: %w", err)
	}
	list := members{}
	var t replication.Table
	var oid uint32
	if _, err := pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &oid}, func() error {
		list[t] = oid
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list the publication's tables: %w", err)
	}
	return list, nil
}

// shape is a digest of the tables, columns and foreign keys of Payload's schema. It is the same as long as nobody
// changes them.
func (d *Daemon) shape(ctx context.Context) (digest string, err error) {
	err = d.source.QueryRow(ctx, `
		SELECT md5(coalesce(string_agg(x, ',' ORDER BY x COLLATE "C"), '')) FROM (
			SELECT concat_ws(' ', c.oid, c.relname, a.attname, a.atttypid, has_table_privilege(c.oid, 'SELECT')) FROM pg_class c
			JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
			WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
			UNION ALL
			SELECT concat_ws(' ', k.oid, k.conname) FROM pg_constraint k
			JOIN pg_namespace n ON n.oid = k.connamespace WHERE n.nspname = $1 AND k.contype = 'f') AS s (x)`,
		d.cfg.PayloadSchema).Scan(&digest)
	if err != nil {
		return "", fmt.Errorf("look at the schema: %w", err)
	}
	return digest, nil
}

// discover reads what there is to index: every collection with drafts when none is named.
func (d *Daemon) discover(ctx context.Context, collections []string) (*payload.Model, error) {
	var prints map[string]string
	if d.state != nil { // without it, or without a state, nothing has been in force
		_, prints, _ = checkpoint.Remembered(ctx, d.state, d.cfg.StateSchema)
	}
	return payload.Discover(ctx, d.source, d.cfg.payload(collections, prints))
}

// changed says whether the publication or the tables are no longer as they were prepared: then everything begins again.
// Changes to tables that are none of ours do not count. Poll and the reader ask, one at a time.
func (o *owner) changed(ctx context.Context) (bool, error) {
	o.looking.Lock()
	defer o.looking.Unlock()
	d := o.d
	list, err := d.members(ctx)
	if err != nil {
		return false, err
	}
	if !maps.Equal(list, o.ready.members) {
		return true, nil
	}
	digest, err := d.shape(ctx)
	if err != nil || digest == o.shape {
		return false, err
	}
	model, err := d.discover(ctx, d.cfg.Collections)
	if errors.Is(err, payload.ErrNotPayload) || errors.Is(err, payload.ErrUnknownCollection) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if !slices.Equal(model.Tables(), o.ready.model.Tables()) || !maps.Equal(d.fingerprints(model, list), d.fingerprints(o.ready.model, list)) {
		return true, nil
	}
	o.shape = digest
	return false, nil
}

// agree is asked about each relation that the log announces. One that is not as the model has it means that the tables
// have changed, or that the log is older than the model: the catalog knows which, and asking it costs a query. So a change
// is known before any row that was written after it is read, and an idle ALTER of Payload's dev push costs nothing.
func (o *owner) agree(ctx context.Context, relation *wal.Relation) error {
	if o.ready.model.Agrees(relation) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, agreePatience)
	defer cancel()
	again, err := o.changed(ctx)
	if err != nil {
		o.d.log.Debug("the tables could not be looked at", "err", err)
		return nil // poll asks again
	}
	if again {
		return errAgain
	}
	return nil
}

// agreePatience is how long the reader waits for the catalog: the socket is not drained meanwhile.
const agreePatience = 10 * time.Second
