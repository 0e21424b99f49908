// Package expression compiles expr's expression syntax to vectorised kernels over Arrow arrays.
package expression
