package chunk

// Clean and Blank are for tests, which compare what came out with what went in.
var (
	Clean = clean
	Blank = blank
)
