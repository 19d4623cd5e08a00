/** The operator console. */
import { Staff } from '../ui/staff.ts';
import { Desk } from './desk.ts';

void new Staff({
  page: 'console',
  title: 'Operator console',
  watch: ['queue'],
  refuse: (me) => (me.role === 'visitor' ? 'This page is for operators.' : ''),
  open: (client, session) => new Desk(client, session),
}, document.getElementById('app') as HTMLElement).start();
