#include "textflag.h"

// What the server runs in place of the program. It is copied into the server, so it
// may use no address but those that it finds by R15, the private memory; see inject_amd64.go
// for that and header for the shared pages, which copies have not. A page that a copy or its server
// writes to is copied, which costs more than some system calls: so the server writes to
// the shared pages, and the copy to registers. No instruction touches what a system call does
// not: the floating point state and the segments are the program's all the time.

#define SYS_READ 0
#define SYS_WRITE 1
#define SYS_PWRITE64 18
#define SYS_CLONE 56
#define SYS_WAIT4 61
#define SYS_EXIT_GROUP 231

#define ECHILD -10
#define EINTR -4
#define EAGAIN -11

#define P_RSP 152
#define P_SHARED 256
#define P_CONTROL 264
#define P_TELL 272
#define P_PIDS 280
#define P_ONE 288
#define P_CALLS 296
#define P_REPORT 304
#define P_SCRIPT 1024

#define S_BIRTH 0
#define S_TID 8
#define S_CALLS 16
#define S_BYTES 24
#define S_STEP 32
#define S_ERRNO 36
#define S_WORD 40
#define S_STATUS 48
#define S_OWN 56
#define S_SCRIPT 1024

#define WNOHANG 1
#define WALL 0x40000000
#define STOPPED 0x7f
#define LAST -32430 // spawn.Last

TEXT stub<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ P_SHARED(R15), R14

serve: // a byte for each child; at the end of the stream, the end
	MOVQ $SYS_READ, AX
	MOVQ P_CONTROL(R15), DI
	LEAQ S_WORD(R14), SI
	MOVQ $1, DX
	SYSCALL
	CMPQ AX, $EINTR
	JEQ  serve
	CMPQ AX, $1
	JNE  leave

	// What the server is to do itself, which is never asked together with a copy.
	MOVQ S_OWN(R14), R12
	TESTQ R12, R12
	JEQ  order
	LEAQ S_SCRIPT(R14), R13

own:
	MOVQ 0(R13), AX
	MOVQ 8(R13), DI
	MOVQ 16(R13), SI
	MOVQ 24(R13), DX
	MOVQ 32(R13), R10
	MOVQ 40(R13), R8
	MOVQ 48(R13), R9
	SYSCALL
	MOVQ AX, 56(R13)
	ADDQ $64, R13
	DECQ R12
	JNE  own
	XORL R8, R8
	JMP  end

order: // what copies are to do, where that is something else than before
	MOVQ S_BYTES(R14), CX
	TESTQ CX, CX
	JEQ  number
	LEAQ S_SCRIPT(R14), SI
	LEAQ P_SCRIPT(R15), DI
	CLD
	REP; MOVSB
	MOVQ S_CALLS(R14), AX
	MOVQ AX, P_CALLS(R15)

number:
	MOVQ P_PIDS(R15), DI
	TESTQ DI, DI
	JEQ  fork
	MOVQ $SYS_PWRITE64, AX
	LEAQ P_ONE(R15), SI
	MOVQ $1, DX
	XORL R10, R10
	SYSCALL

fork:
	MOVQ $SYS_CLONE, AX
	MOVQ S_BIRTH(R14), DI
	XORL SI, SI
	XORL DX, DX
	MOVQ S_TID(R14), R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JEQ  born
	JLT  unborn
	MOVQ AX, R12
	MOVQ $WALL, R13 // how to wait
	XORL BX, BX     // whether the run goes on after what is told next
	XORL R8, R8     // how many bytes that is

reap: // all that the copy leaves is adopted
	MOVQ $SYS_WAIT4, AX
	MOVQ $-1, DI
	LEAQ S_WORD(R14), SI
	MOVQ R13, DX
	XORL R10, R10
	SYSCALL
	CMPQ AX, $EINTR
	JEQ  reap
	CMPQ AX, $ECHILD
	JEQ  end
	TESTQ AX, AX
	JEQ  left
	CMPQ AX, R12
	JNE  reap
	MOVL S_WORD(R14), AX
	CMPB AX, $STOPPED
	JEQ  reap
	MOVL AX, S_STATUS(R14)
	MOVL $4, R8
	MOVQ $(WALL|WNOHANG), R13 // mostly nothing is left, and one message does
	JMP  reap

left: // something still runs
	MOVQ $WALL, R13
	MOVL $1, BX
	JMP  tell

unborn:
	NEGL AX
	MOVL AX, S_ERRNO(R14)
	MOVL $0x7fffffff, S_STEP(R14)
	XORL R8, R8

end: // one byte more
	XORL BX, BX
	INCL R8

tell:
	MOVQ $SYS_WRITE, AX
	MOVQ P_CONTROL(R15), DI
	LEAQ S_STATUS(R14), SI
	MOVQ R8, DX
	SYSCALL
	CMPQ AX, $EINTR
	JEQ  tell
	CMPQ AX, R8
	JNE  leave
	XORL R8, R8
	TESTL BX, BX
	JNE  reap
	JMP  serve

leave:
	MOVQ $SYS_EXIT_GROUP, AX
	MOVQ $127, DI
	SYSCALL
	JMP  leave

born:
	LEAQ P_SCRIPT(R15), R13
	MOVQ P_CALLS(R15), R12
	XORL BP, BP // the result of the call before

call:
	TESTQ R12, R12
	JEQ  resume
	MOVQ 8(R13), DI
	CMPQ DI, $LAST
	JNE  arguments
	MOVQ BP, DI

arguments:
	MOVQ 0(R13), AX
	MOVQ 16(R13), SI
	MOVQ 24(R13), DX
	MOVQ 32(R13), R10
	MOVQ 40(R13), R8
	MOVQ 48(R13), R9
	SYSCALL
	MOVQ AX, BP
	CMPQ AX, $-4095
	JCS  next
	CMPB 56(R13), $0
	JEQ  failed

next:
	ADDQ $64, R13
	DECQ R12
	JMP  call

failed: // is told by way of the file of which the shared pages are
	NEGL AX
	MOVL AX, (P_REPORT+4)(R15)
	LEAQ P_SCRIPT(R15), CX
	SUBQ CX, R13
	SHRQ $6, R13
	INCL R13
	MOVL R13, P_REPORT(R15)
	MOVQ $SYS_PWRITE64, AX
	MOVQ P_TELL(R15), DI
	LEAQ P_REPORT(R15), SI
	MOVQ $8, DX
	MOVQ $S_STEP, R10
	SYSCALL
	JMP  leave

resume: // the registers lie as in struct user_regs_struct
	LEAQ 144(R15), SP
	POPFQ // where they lie: a push would copy the page
	MOVQ P_RSP(R15), SP
	MOVQ 8(R15), R14
	MOVQ 16(R15), R13
	MOVQ 24(R15), R12
	MOVQ 32(R15), BP
	MOVQ 40(R15), BX
	MOVQ 48(R15), R11
	MOVQ 56(R15), R10
	MOVQ 64(R15), R9
	MOVQ 72(R15), R8
	MOVQ 80(R15), AX
	MOVQ 88(R15), CX
	MOVQ 96(R15), DX
	MOVQ 104(R15), SI
	MOVQ 112(R15), DI
	MOVQ 0(R15), R15

	// jmp *0(%rip): the address follows, in place of the mark of the end.
	BYTE $0xff; BYTE $0x25; LONG $0
	BYTE $0xcc; BYTE $0xcc; BYTE $0xcc; BYTE $0xcc
	BYTE $0xcc; BYTE $0xcc; BYTE $0xcc; BYTE $0xcc

// func stubCode() (code []byte)
TEXT ·stubCode(SB), NOSPLIT, $0-24
	LEAQ stub<>(SB), AX
	MOVQ AX, code_base+0(FP)
	MOVQ $1024, code_len+8(FP) // more than there is
	MOVQ $1024, code_cap+16(FP)
	RET
