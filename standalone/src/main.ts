#!/usr/bin/env node
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { runProgram } from '@watershed/runtime/program.ts';
import { compose } from './app.ts';
import { program } from './config.ts';

await runProgram({
  ...program,
  parse: () => parseOptions(program, { argv: process.argv.slice(2), environment: process.env }),
  logScopes: ['log', 'ingester', 'translator', 'pusher'],
  compose,
});
