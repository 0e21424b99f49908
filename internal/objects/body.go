package objects

import "io"

// body gives what breaks while an object is read the meaning that its store's errors have.
type body struct {
	io.ReadCloser
	meaning func(error) error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.meaning(err)
	}
	return n, err
}
