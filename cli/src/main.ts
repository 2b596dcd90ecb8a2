#!/usr/bin/env node
import { program } from './program.ts';

try {
  await program((text) => process.stdout.write(`${text}\n`)).parseAsync();
} catch (error) {
  process.stderr.write(`xdsctl: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
