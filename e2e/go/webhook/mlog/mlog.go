// Package mlog stands in for the logging library of the same name, which the module proxy does not serve. It has the
// part that the packages of azure-workload-identity's webhook call, over log/slog's default logger.
package mlog

import (
	"context"
	"log/slog"
)

// LogLevel is a verbosity, from the least to the most: warning, info, debug, trace, all.
type LogLevel string

// The levels. slog has no trace; it is one step below debug.
const (
	LevelWarning LogLevel = "warning"
	LevelInfo    LogLevel = "info"
	LevelDebug   LogLevel = "debug"
	LevelTrace   LogLevel = "trace"
	LevelAll     LogLevel = "all"
)

var slogLevels = map[LogLevel]slog.Level{
	LevelWarning: slog.LevelWarn,
	LevelInfo:    slog.LevelInfo,
	LevelDebug:   slog.LevelDebug,
	LevelTrace:   slog.LevelDebug - 4,
	LevelAll:     slog.LevelDebug - 8,
}

// Enabled says whether messages of this level are written.
func Enabled(level LogLevel) bool {
	return slog.Default().Enabled(context.Background(), slogLevels[level])
}

// Logger writes structured messages; keysAndValues alternate.
type Logger struct{ logger *slog.Logger }

// New is the logger without a name or values.
func New() Logger { return Logger{slog.Default()} }

// WithName adds a name to each message.
func (l Logger) WithName(name string) Logger {
	return Logger{l.logger.With(slog.String("logger", name))}
}

// WithValues adds the same keys and values to each message.
func (l Logger) WithValues(keysAndValues ...any) Logger {
	return Logger{l.logger.With(keysAndValues...)}
}

// Info writes a message that matters in normal operation.
func (l Logger) Info(message string, keysAndValues ...any) {
	l.logger.Info(message, keysAndValues...)
}

// Error writes a message and its error.
func (l Logger) Error(message string, err error, keysAndValues ...any) {
	l.logger.Error(message, append(keysAndValues, "error", err)...)
}
