package qemu

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Numbers of the NBD protocol: newstyle negotiation, simple replies.
const (
	nbdMagic    = 0x4e42444d41474943
	nbdOption   = 0x49484156454f5054
	nbdAnswer   = 0x3e889045565a9
	nbdRequest  = 0x25609513
	nbdReply    = 0x67446698
	nbdExport   = 1 // options
	nbdAbort    = 2
	nbdGo       = 7
	nbdInfo     = 6
	nbdAck      = 1 // answers
	nbdInfoType = 3
	nbdUnknown  = 1<<31 + 1
	nbdHasFlags = 1 // transmission flags
	nbdHasFlush = 4
	nbdRead     = 0 // commands
	nbdWrite    = 1
	nbdStop     = 2
	nbdFlush    = 3
	nbdInvalid  = 22
)

// errPower: the machine has lost its power, and hears nothing any more.
var errPower = errors.New("no power")

// serveNBD serves a disk to the one client that connects, until it goes.
func serveNBD(l net.Listener, d *disk) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &nbdConn{Reader: bufio.NewReaderSize(conn, 1<<20), Writer: bufio.NewWriterSize(conn, 1<<20), disk: d}
	if err := c.negotiate(); err != nil {
		return fmt.Errorf("NBD negotiation: %w", err)
	}
	for {
		if err := c.serve(); err != nil {
			if errors.Is(err, errPower) {
				_, err = io.Copy(io.Discard, conn) // it waits until it is killed
			}
			return err
		}
	}
}

type nbdConn struct {
	*bufio.Reader
	*bufio.Writer
	disk *disk
	buf  []byte
}

func (c *nbdConn) put(values ...any) error {
	for _, v := range values {
		if err := binary.Write(c.Writer, binary.BigEndian, v); err != nil {
			return err
		}
	}
	return nil
}

func (c *nbdConn) get(values ...any) error {
	for _, v := range values {
		if err := binary.Read(c.Reader, binary.BigEndian, v); err != nil {
			return err
		}
	}
	return nil
}

func (c *nbdConn) negotiate() error {
	if err := errors.Join(c.put(uint64(nbdMagic), uint64(nbdOption), uint16(3)), c.Flush()); err != nil {
		return err
	}
	var flags, option, length uint32
	if err := c.get(&flags); err != nil {
		return err
	}
	for {
		var magic uint64
		if err := c.get(&magic, &option, &length); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, c, int64(length)); err != nil {
			return err
		}
		done, err := c.option(option)
		if err = errors.Join(err, c.Flush()); done || err != nil {
			return err
		}
	}
}

func (c *nbdConn) option(option uint32) (done bool, err error) {
	size, flags := uint64(len(c.disk.data)), uint16(nbdHasFlags|nbdHasFlush)
	switch option {
	case nbdExport:
		return true, c.put(size, flags)
	case nbdGo, nbdInfo:
		return option == nbdGo, c.put(uint64(nbdAnswer), option, uint32(nbdInfoType), uint32(12), uint16(0), size, flags,
			uint64(nbdAnswer), option, uint32(nbdAck), uint32(0))
	case nbdAbort:
		return true, io.EOF
	}
	return false, c.put(uint64(nbdAnswer), option, uint32(nbdUnknown), uint32(0))
}

// serve answers one request.
func (c *nbdConn) serve() error {
	var r struct {
		Magic       uint32
		Flags, Type uint16
		Cookie, Off uint64
		Length      uint32
	}
	if err := c.get(&r); err != nil {
		return err
	}
	if r.Magic != nbdRequest || r.Length > 64<<20 {
		return fmt.Errorf("NBD request %+v", r)
	}
	if len(c.buf) < int(r.Length) {
		c.buf = make([]byte, r.Length)
	}
	p, ok, code := c.buf[:r.Length], true, uint32(0)
	switch r.Type {
	case nbdRead:
		ok = c.disk.read(p, int64(r.Off))
	case nbdWrite:
		if _, err := io.ReadFull(c.Reader, p); err != nil {
			return err
		}
		ok = c.disk.write(p, int64(r.Off))
	case nbdFlush:
		ok = c.disk.flush()
	case nbdStop:
		return io.EOF
	default:
		code = nbdInvalid
	}
	if !ok {
		return errPower
	}
	err := c.put(uint32(nbdReply), code, r.Cookie)
	if r.Type == nbdRead {
		_, more := c.Write(p)
		err = errors.Join(err, more)
	}
	return errors.Join(err, c.Flush())
}
