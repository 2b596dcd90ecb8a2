#!/usr/bin/env node
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { runProgram } from '@watershed/runtime/program.ts';
import { program } from './config.ts';
import { compose } from './process.ts';

await runProgram({
  ...program,
  parse: () => parseOptions(program, { argv: process.argv.slice(2), environment: process.env }),
  logScopes: ['log', 'ingester'],
  compose,
});
