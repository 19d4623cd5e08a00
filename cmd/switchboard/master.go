package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/switchboard/switchboard/presence/accounts"
)

// masterName is the master key's file in a data folder.
const masterName = "master.key"

// readMaster reads a master key from a file: 32 bytes as they are, in hex, or
// in base64.
func readMaster(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the master key cannot be read: %w", err)
	}
	key, err := parseMaster(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func parseMaster(b []byte) ([]byte, error) {
	if len(b) == accounts.MasterSize {
		return b, nil
	}
	text := string(bytes.TrimSpace(b))
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(text); err == nil && len(key) == accounts.MasterSize {
			return key, nil
		}
	}
	return nil, fmt.Errorf("a master key is %d bytes, raw, in hex or in base64; make one with: switchboard key new --key-file FILE", accounts.MasterSize)
}

// makeMaster writes a new master key to a file that must not exist yet.
func makeMaster(path string) error {
	key := make([]byte, accounts.MasterSize)
	rand.Read(key) // never fails: it ends the process instead
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already; a master key that is overwritten takes all sessions with it", path)
	}
	if err != nil {
		return fmt.Errorf("the master key cannot be written: %w", err)
	}
	_, err = file.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("the master key cannot be written: %w", err)
	}
	return nil
}

// ownMaster returns the master key of a data folder and makes it at first.
func ownMaster(path string) ([]byte, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := makeMaster(path); err != nil {
			return nil, err
		}
	}
	return readMaster(path)
}
