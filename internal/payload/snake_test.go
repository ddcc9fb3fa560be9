package payload

import "testing"

// Expected values were printed by the npm package to-snake-case 1.0.0.
func TestToSnakeCase(t *testing.T) {
	for in, want := range map[string]string{
		"posts": "posts", "blog-posts": "blog_posts", "docPages": "doc_pages", "doc_pages": "doc_pages", "doc-pages": "doc_pages",
		"extraJSON": "extra_j_s_o_n", "URLPath": "u_r_l_path", "linkURL": "link_u_r_l", "camelCASEField2": "camel_c_a_s_e_field2",
		"h1Title": "h1_title", "my_fieldName": "my_fieldname", "blog-postItems": "blog_postitems", "my field Name": "my_field_name",
		"ALL": "all", "ALLCaps": "a_l_l_caps", "a1B2": "a1b2", "foo.bar": "foo_bar", "foo:bar": "foo_bar", "_private": "private",
		"__x__": "x", "x-": "x", "-": "", "": "", "Ünïcode": "n_code", "éClair": "clair", "über-Straße": "ber_stra_e", "A": "a",
		"aB": "a_b", "AB": "ab", "aBC": "a_b_c", "iOSApp": "i_o_s_app", "page2Go": "page2_go", "test--double": "test_double",
		"trailing_": "trailing", "Two  Spaces": "two_spaces", "x$y": "x_y", "$y": "y", "camel$Case": "camel_case", "日本語": "",
		"a日B": "a_b", "ABc": "a_bc", "aaBBccDD": "aa_b_bcc_d_d", "x y-zW": "x_y_zw", "tab\tTab": "tab_tab",
		"TitleCase Word": "titlecase_word", "3dModels": "3d_models", "FAQs": "f_a_qs", "foo.BarBaz": "foo_barbaz",
		"ÀLaCarte": "la_carte", "-lead": "lead",
	} {
		if got := toSnakeCase(in); got != want {
			t.Errorf("toSnakeCase(%q) = %q, want %q", in, got, want)
		}
	}
}
