#include "textflag.h"

// What the server runs in place of the program. It is copied into the server, so it
// may use no address but those that it finds by R15, the private page; see inject_amd64.go
// for it and header for the shared pages. No instruction of it touches what a system call does
// not: the floating point state and the segments are the program's all the time.

#define SYS_READ 0
#define SYS_WRITE 1
#define SYS_DUP3 292
#define SYS_CLONE 56
#define SYS_WAIT4 61
#define SYS_EXIT_GROUP 231
#define SYS_CLOSE_RANGE 436

#define ECHILD -10
#define EINTR -4
#define EAGAIN -11

#define P_RSP 152
#define P_SHARED 256
#define P_CONTROL 264
#define P_WORD 272
#define P_STATUS 280
#define P_COUNT 288
#define P_LAST 296
#define P_LASTLEN 304
#define P_END 4096

#define S_BIRTH 0
#define S_AGAIN 8
#define S_TID 16
#define S_INIT 24
#define S_WORLD 32
#define S_WORLDLEN 40
#define S_TARGET 48
#define S_TARGETLEN 56
#define S_STEP 64
#define S_ERRNO 68
#define S_STATUS 72

#define WALL 0x40000000
#define STOPPED 0x7f
#define LAST -32430 // spawn.Last

TEXT stub<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ P_SHARED(R15), R14

serve: // a byte for each child; at the end of the stream, the end
	MOVQ $SYS_READ, AX
	MOVQ P_CONTROL(R15), DI
	LEAQ P_WORD(R15), SI
	MOVQ $1, DX
	SYSCALL
	CMPQ AX, $EINTR
	JEQ  serve
	CMPQ AX, $1
	JNE  leave
	MOVQ $SYS_CLONE, AX
	MOVQ S_BIRTH(R14), DI
	XORL SI, SI
	XORL DX, DX
	MOVQ S_TID(R14), R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JEQ  born
	MOVQ AX, P_WORD(R15)

answer:
	MOVQ $SYS_WRITE, AX
	MOVQ P_CONTROL(R15), DI
	LEAQ P_WORD(R15), SI
	MOVQ $8, DX
	SYSCALL
	CMPQ AX, $EINTR
	JEQ  answer
	CMPQ AX, $8
	JEQ  serve

leave:
	MOVQ $SYS_EXIT_GROUP, AX
	MOVQ $127, DI
	SYSCALL
	JMP  leave

born:
	XORL BX, BX // which script: 0 world, 1 target, 2 last
	MOVQ S_WORLD(R14), R13
	MOVQ S_WORLDLEN(R14), R12

script:
	XORL BP, BP // the result of the call before

call:
	TESTQ R12, R12
	JEQ  done
	INCL P_COUNT(R15)
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
	CMPL BX, $2 // of the last script nothing can be told: what is shared is gone
	JEQ  next
	CMPQ AX, $-4095
	JCS  next
	CMPB 56(R13), $0
	JNE  next

failed:
	NEGL AX
	MOVL AX, S_ERRNO(R14)
	MOVL P_COUNT(R15), AX
	MOVL AX, S_STEP(R14)
	JMP  leave

next:
	ADDQ $64, R13
	DECQ R12
	JMP  call

done:
	INCL BX
	CMPL BX, $2
	JEQ  last
	JGT  resume
	MOVQ S_TARGET(R14), R13
	MOVQ S_TARGETLEN(R14), R12
	CMPQ S_INIT(R14), $0
	JEQ  script
	MOVQ $SYS_CLONE, AX
	MOVQ S_AGAIN(R14), DI
	XORL SI, SI
	XORL DX, DX
	MOVQ S_TID(R14), R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JEQ  script
	JGT  init
	INCL P_COUNT(R15)
	JMP  failed

init: // keeps nothing open but the status pipe
	MOVQ AX, R12
	MOVQ $SYS_DUP3, AX
	MOVQ S_STATUS(R14), DI
	XORL SI, SI
	XORL DX, DX
	SYSCALL
	MOVQ $SYS_CLOSE_RANGE, AX
	MOVQ $1, DI
	MOVL $0xffffffff, SI
	XORL DX, DX
	SYSCALL

reap:
	MOVQ $SYS_WAIT4, AX
	MOVQ $-1, DI
	LEAQ P_STATUS(R15), SI
	MOVL $WALL, DX
	XORL R10, R10
	SYSCALL
	CMPQ AX, $EINTR
	JEQ  reap
	CMPQ AX, $ECHILD
	JEQ  end
	CMPQ AX, R12
	JNE  reap
	CMPB P_STATUS(R15), $STOPPED
	JEQ  reap
	MOVQ $SYS_WRITE, AX
	XORL DI, DI
	LEAQ P_STATUS(R15), SI
	MOVQ $4, DX
	SYSCALL
	JMP  reap

end:
	MOVQ $SYS_EXIT_GROUP, AX
	XORL DI, DI
	SYSCALL
	JMP  end

last: // lies in the private page, because it unmaps the shared ones
	MOVQ P_LAST(R15), R13
	MOVQ P_LASTLEN(R15), R12
	JMP  script

resume: // the registers lie as in struct user_regs_struct
	LEAQ P_END(R15), SP
	PUSHQ 144(R15)
	POPFQ
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
