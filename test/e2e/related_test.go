package e2e_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"payload-cdc/test/e2e"
	"payload-cdc/test/payloadtest"
)

// The file asks for text of an author, of categories and of a picture. Whatever Payload does to those, the posts that show
// them say it, and no other does.
func TestRelatedDocuments(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cdc.yaml")
	if err := os.WriteFile(file, []byte("collections:\n  posts:\n    include: [polyOne.name, categories.name, primaryCategory.name, heroImage.alt]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := e2e.New(t, e2e.Options{Env: map[string]string{"CDC_CONFIG": file}})
	app, ctx := w.Payload, t.Context()
	done := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	create := func(collection string, data fields, more ...fields) int {
		t.Helper()
		id, err := app.Create(ctx, collection, data, more...)
		done("create in "+collection, err)
		n, err := strconv.Atoi(id)
		done("id "+id, err)
		return n
	}
	picture := filepath.Join(t.TempDir(), "picture.png")
	var pixels bytes.Buffer
	done("draw", png.Encode(&pixels, image.NewGray(image.Rect(0, 0, 2, 2))))
	done("write a file", os.WriteFile(picture, pixels.Bytes(), 0o600))
	author := create("users", fields{"email": "ann@example.com", "password": "open-sesame", "name": "Annette"})
	sea, air := create("categories", fields{"name": "Seafaring"}), create("categories", fields{"name": "Airships"})
	hero := create("media", fields{"alt": "a lighthouse"}, fields{"filePath": picture})
	posts := map[string]string{}
	post := func(title string, data fields) {
		data["title"], data["_status"] = title, "published"
		data["content"] = payloadtest.RichText("Of " + title + ".")
		posts[title] = "posts-" + strconv.Itoa(create("posts", data))
	}
	post("One", fields{"polyOne": fields{"relationTo": "users", "value": author}, "categories": []int{air, sea}})
	post("Two", fields{"primaryCategory": sea, "heroImage": hero})
	post("Three", fields{"categories": []int{air}, "heroImage": hero})
	post("Four", fields{})

	say := func(word string, titles ...string) {
		t.Helper()
		var want []string
		for _, title := range titles {
			want = append(want, posts[title])
		}
		slices.Sort(want)
		e2e.Eventually(t, fmt.Sprintf("%v say %q", want, word), func() []string {
			var got []string
			for id, v := range w.Vectors(t) {
				if v.Data != nil && strings.Contains(*v.Data, word) {
					got = append(got, id)
				}
			}
			if slices.Sort(got); slices.Equal(got, want) {
				return nil
			}
			return append([]string{"instead:"}, got...)
		})
	}
	cdc := w.Start(t)
	cdc.WaitReady(t)
	say("Annette", "One")
	say("Airships, Seafaring", "One")
	say("Seafaring", "One", "Two")
	say("a lighthouse", "Two", "Three")

	done("rename the author", app.Update(ctx, "users", strconv.Itoa(author), fields{"name": "Beatrice"}))
	say("Beatrice", "One")
	say("Annette")
	done("rename a category", app.Update(ctx, "categories", strconv.Itoa(sea), fields{"name": "Sailing"}))
	say("Sailing", "One", "Two")
	say("Seafaring")
	done("describe the picture", app.Update(ctx, "media", strconv.Itoa(hero), fields{"alt": "a harbour"}))
	say("a harbour", "Two", "Three")
	say("a lighthouse")
	_, err := app.UpdateWhere(ctx, "categories", fields{"name": fields{"exists": true}}, fields{"summary": "not shown"})
	done("change what is not shown", err)
	done("delete a category", app.Delete(ctx, "categories", strconv.Itoa(air)))
	say("Airships")
	say("Sailing", "One", "Two")
	done("show another", app.Update(ctx, "posts", strings.TrimPrefix(posts["Four"], "posts-"), fields{"categories": []int{sea}}))
	say("Sailing", "One", "Two", "Four")
	cdc.Stop(t)
	for _, text := range w.Embedded() {
		for _, secret := range []string{"ann@example.com", "not shown", "open-sesame"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q was embedded: %q", secret, text)
			}
		}
	}
}
