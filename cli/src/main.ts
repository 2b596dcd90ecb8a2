#!/usr/bin/env node
import { cacheDirectory } from './components/cache.ts';
import { program } from './program.ts';

try {
  await program({
    print: (text) => process.stdout.write(`${text}\n`),
    progress: (line) => process.stderr.write(`${line}\n`),
    cache: cacheDirectory(process.env),
    environment: process.env,
  }).parseAsync();
} catch (error) {
  process.stderr.write(`xdsctl: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
