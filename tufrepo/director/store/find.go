package store

import (
	"slices"
	"strings"
)

// wordLength is how many characters of a word are kept.
const wordLength = 12

// plain is a name as it is searched: without what people leave out, and in lower case.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune("-:. _/", r):
			return -1
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, name)
}

// find is the column of that name.
func (d Device) find() string {
	return plain(d.Serial) + "|" + plain(d.MAC) + "#" + plain(d.ID)
}

// words are where a text that is searched may begin.
func (d Device) words() []string {
	id := []rune(plain(d.ID))
	out := []string{string(id[:min(len(id), wordLength)])}
	for _, name := range []string{d.Serial, d.MAC} {
		runes := []rune(plain(name))
		for i := range runes {
			out = append(out, string(runes[i:min(len(runes), i+wordLength)]))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (t *Tx) addWords(d Device) error {
	return insert(t, d.words(), 3, func(word string) []any { return []any{d.Tenant, word, d.ID} },
		"INSERT INTO device_words (tenant, word, device)", "")
}

// beginning are the bounds of the words that begin as text does, as far as words go.
func beginning(text string) (from, to string) {
	runes := []rune(text)
	from = string(runes[:min(len(runes), wordLength)])
	return from, from + "\U0010FFFF"
}

// finds adds the condition that serial or MAC contain text, or the id begins with it.
func (w *where) finds(text string) {
	text = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text)
	w.and("(find LIKE ? ESCAPE '!' OR find LIKE ? ESCAPE '!')", "%"+text+"%#%", "%#"+text+"%")
}
