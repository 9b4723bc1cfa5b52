package frame

// Link types, by their numbers in the registry of tcpdump.org. gopacket's type has eight bits, too
// few for linkSLL2.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRawOld   = 12 // raw IP, used before the registry existed
	linkRawBSD   = 14
	linkRaw      = 101
	linkLoop     = 108
	linkSLL      = 113
	linkRawIPv4  = 228
	linkRawIPv6  = 229
	linkSLL2     = 276

	// Those that gopacket decodes.
	linkPPP       = 9
	linkFDDI      = 10
	linkIEEE80211 = 105
	linkPFLog     = 117
	linkPrism     = 119
	linkRadiotap  = 127
)

// EtherTypes.
const (
	TypeIPv4     = 0x0800
	TypeIPv6     = 0x86dd
	TypeVLAN     = 0x8100
	TypeQinQ     = 0x88a8
	typeOldQinQ  = 0x9100
	smallestType = 0x0600 // smaller numbers are lengths

	typeTransparent   = 0x6558 // Ethernet in another protocol
	typeMPLS          = 0x8847
	typeMPLSMulticast = 0x8848
	typePPPoE         = 0x8864
)

// Protocols of PPP.
const (
	pppIPv4 = 0x0021
	pppIPv6 = 0x0057
)

// Address families in BSD's loopback header. The one of IPv6 depends on the system.
const (
	familyIPv4        = 2
	familyIPv6Linux   = 10
	familyIPv6BSD     = 24
	familyIPv6FreeBSD = 28
	familyIPv6Darwin  = 30
)

// IP protocols, and the IPv6 headers that may precede TCP.
const (
	protocolHopByHop    = 0
	protocolIPv4        = 4 // in IP
	protocolTCP         = 6
	protocolUDP         = 17
	protocolIPv6        = 41 // in IP
	protocolGRE         = 47
	protocolEtherIP     = 97
	protocolMPLS        = 137
	protocolRouting     = 43
	protocolFragment    = 44
	protocolAH          = 51
	protocolDestination = 60
)
