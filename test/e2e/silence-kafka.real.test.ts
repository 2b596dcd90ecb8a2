import { silenceSuite } from './suites/silence.ts';

silenceSuite('kafka');
