import { fstatSync, writeSync } from 'node:fs';

const stderr = 2;

/**
 * Writes lines to the standard error output, where they can be written: a disk that is full, or a
 * reader that is gone, takes the line and not the process. A file is written to as such, because a
 * stream that has failed once writes no more when there is room again.
 */
export function logOutput(): (line: string) => void {
  if (fstatSync(stderr).isFile()) {
    return (line) => {
      try {
        writeSync(stderr, line);
      } catch {
        // There is nowhere to say so.
      }
    };
  }
  process.stderr.on('error', () => undefined);
  return (line) => {
    process.stderr.write(line);
  };
}
