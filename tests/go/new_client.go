package grpc

// NewClient is Dial's name since grpc-go 1.63; credentials/insecure is there since 1.34. Without TLS, releases
// before want WithInsecure.
func NewClient(target string, opts ...DialOption) (*ClientConn, error) {
	return Dial(target, append(opts, WithInsecure())...)
}
