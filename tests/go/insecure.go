// Package insecure is what grpc-go has since 1.34 for connections without TLS.
package insecure

import "google.golang.org/grpc/credentials"

// NewCredentials gives none: see NewClient.
func NewCredentials() credentials.TransportCredentials { return nil }
