/** The supervisor's live board. */
import { Staff } from '../ui/staff.ts';
import { Board } from './board.ts';

void new Staff({
  page: 'supervisor',
  title: 'Supervisor board',
  watch: ['operators', 'queue', 'logouts', 'losses'],
  refuse: (me) => (me.role === 'supervisor' || me.role === 'admin' ? '' : 'This page is for supervisors.'),
  open: (client, session) => new Board(client, session),
}, document.getElementById('app') as HTMLElement).start();
