package replication

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// SyncState says how the server counts the walsender with that PID (Stream.PID): "async", "potential", "sync" or
// "quorum"; "" when there is none. All but "async" mean that commits wait, or may come to wait, for our confirmations.
// Postgres shows the state to members of pg_read_all_stats only; for others it is derived from
// synchronous_standby_names.
func SyncState(ctx context.Context, q Querier, pid int) (string, error) {
	var state, application *string
	var names string
	err := q.QueryRow(ctx, `
		SELECT r.sync_state, a.application_name, current_setting('synchronous_standby_names')
		FROM pg_stat_replication r LEFT JOIN pg_stat_activity a USING (pid) WHERE pid = $1`, pid).Scan(&state, &application, &names)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("ask whether we are a synchronous standby: %w", err)
	case state != nil:
		return *state, nil
	case application != nil && listed(names, *application):
		return "sync", nil
	}
	return "async", nil
}

// listed says whether synchronous_standby_names counts a client that calls itself application.
func listed(names, application string) bool {
	if i := strings.IndexByte(names, '('); i >= 0 { // FIRST n (…), ANY n (…), n (…)
		names = strings.TrimSuffix(strings.TrimSpace(names[i+1:]), ")")
	}
	for one := range strings.SplitSeq(names, ",") {
		one = strings.TrimSpace(one)
		if strings.HasPrefix(one, `"`) && strings.HasSuffix(one, `"`) && len(one) > 1 {
			one = strings.ReplaceAll(one[1:len(one)-1], `""`, `"`)
		}
		if one != "" && (one == "*" || strings.EqualFold(one, application)) {
			return true
		}
	}
	return false
}
