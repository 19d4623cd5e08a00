package redisd

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// Scripts use what Redis 7.0 brought; older ones fail in the middle of the day.
const oldestMajor = 7

var versionPattern = regexp.MustCompile(`\bv=(\d+)\.(\d+)\.(\d+)`)

// checkVersion refuses a redis-server that is too old.
func checkVersion(ctx context.Context, bin string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, bin, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version failed: %w", bin, err)
	}
	return parseVersion(bin, string(out))
}

func parseVersion(bin, out string) error {
	m := versionPattern.FindStringSubmatch(out)
	if m == nil {
		return fmt.Errorf("%s does not tell its version: Redis 7.0 or newer is needed", bin)
	}
	if major, err := strconv.Atoi(m[1]); err != nil || major < oldestMajor {
		return fmt.Errorf("%s is Redis %s.%s.%s: 7.0 or newer is needed", bin, m[1], m[2], m[3])
	}
	return nil
}
