import { silenceSuite } from './suites/silence.ts';

silenceSuite('services');
