package ipvs

// The family as the kernel registers it (include/uapi/linux/ip_vs.h).
const (
	familyName = "IPVS"
	version    = 1
)

// The commands of the family.
const (
	cmdNewService uint8 = iota + 1
	cmdSetService
	cmdDelService
	cmdGetService
	cmdNewDest
	cmdSetDest
	cmdDelDest
	cmdGetDest
	cmdNewDaemon
	cmdDelDaemon
	cmdGetDaemon
	cmdSetConfig
	cmdGetConfig
	cmdSetInfo
	cmdGetInfo
	cmdZero
	cmdFlush
)

// The attributes of a message.
const (
	attrService uint16 = iota + 1
	attrDest
	attrDaemon
	attrTimeoutTCP
	attrTimeoutTCPFin
	attrTimeoutUDP
)

// The attributes of an answer to cmdGetInfo.
const (
	infoVersion uint16 = iota + 1
	infoSize
)

// The attributes of a service.
const (
	svcFamily uint16 = iota + 1
	svcProtocol
	svcAddr
	svcPort
	svcMark
	svcScheduler
	svcFlags
	svcTimeout
	svcNetmask
	svcStats
	svcEngine
	svcStats64
)

// The attributes of a destination.
const (
	dstAddr uint16 = iota + 1
	dstPort
	dstForward
	dstWeight
	dstUpper
	dstLower
	dstActive
	dstInactive
	dstTemplates
	dstStats
	dstFamily
	dstStats64
	dstTunnelType
	dstTunnelPort
	dstTunnelFlags
)

// The attributes of a sync daemon.
const (
	daemonState uint16 = iota + 1
	daemonInterface
	daemonID
	daemonMaxLength
	daemonGroup
	daemonGroup6
	daemonPort
	daemonTTL
)

// The states of a sync daemon.
const (
	stateMaster uint32 = 1
	stateBackup uint32 = 2
)

// The attributes of statistics; the wide form has the same numbers.
const (
	statConns uint16 = iota + 1
	statInPackets
	statOutPackets
	statInBytes
	statOutBytes
	statConnsRate
	statInPacketsRate
	statOutPacketsRate
	statInBytesRate
	statOutBytesRate
)

// The flags of a service.
const (
	flagPersistent uint32 = 0x1
	flagOnePacket  uint32 = 0x4
	flagSched      uint32 = 0x38 // flag-1 to flag-3
	schedShift            = 3
)

// The address families, as in struct sockaddr.
const (
	afInet  uint16 = 2
	afInet6 uint16 = 10
)

// Bounds of texts in messages, the ending zero not counted (IP_VS_SCHEDNAME_MAXLEN,
// IP_VS_PENAME_MAXLEN).
const maxName = 15
