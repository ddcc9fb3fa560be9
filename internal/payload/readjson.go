package payload

import "strings"

// ReadJSONBlocks reads the value of a jsonb column if it is a list of Payload's blocks, as blocksAsJSON stores them; ok is
// false for any other JSON. An error is permanent: the value is beyond the bounds.
func ReadJSONBlocks(src []byte) (rich RichText, ok bool, err error) {
	if !looksRich(src) {
		return RichText{}, false, nil
	}
	if len(src) > maxRichText {
		return RichText{}, true, permanent(errTooLarge)
	}
	t, valid := newTape(src)
	if !valid || !t.isBlocks(0) {
		return RichText{}, false, nil
	}
	w := &walker{tape: t}
	t.inside(0, func(_, v int32) bool {
		err = w.fields(v, 1)
		return err == nil
	})
	if err != nil {
		return RichText{}, true, permanent(err)
	}
	return RichText{Blocks: w.out, Other: w.other}, true, nil
}

// isBlocks says whether v is a list of Payload's blocks: objects that say of which type.
func (t *tape) isBlocks(v int32) bool {
	if t.of(v, '[') < 0 {
		return false
	}
	some, all := false, true
	t.inside(v, func(_, e int32) bool {
		some = true
		all = strings.TrimSpace(t.string(e, "blockType")) != ""
		return all
	})
	return some && all
}
