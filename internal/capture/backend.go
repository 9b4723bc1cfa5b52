package capture

// PacketBackend is the backend that captures packets, for kernels without what the probes need.
const PacketBackend = "packet"
